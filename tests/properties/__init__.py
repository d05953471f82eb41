"""What must hold for every input: properties, an independent model of the broker, and fuzzing."""
