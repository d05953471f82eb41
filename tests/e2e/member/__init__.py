"""A member: a model of the broker that really runs, in a container, on the environment and the network that Kubernetes gives it.

It goes into an image beside a copy of tests/properties/broker.py, which holds the rules by which a release names itself,
reads its variables and refuses to start. What it does like the broker:

- it takes its name from the entrypoint's rules, /etc/hosts and its address;
- it asks the API server for the one Endpoints object, with the token that is mounted, or DNS for records, again and again;
- it joins what it found when every name answers: on the Erlang and the RPC port, under the name that was asked for, with the same cookie;
- it keeps who it is and whom it knows in the data folder, by its name, and starts empty under another name;
- it answers the release's status path, and GET /api/v5/nodes (4.x: /api/v4/nodes) to who has the API key.

What it leaves out: MQTT and everything else that a broker is for, the protocols of Erlang and gen_rpc (a line of JSON each way instead),
Mnesia (a list of names instead, so no table is ever waited for), autoclean and autoheal, the dashboard, the checks of configuration
other than clustering's, and time: it starts at once and asks every second, where the broker asks every five.
GET /report is its own: all that it knows, for the tests. Standard library only.
"""
