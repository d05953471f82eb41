"""The command line: verbs, their options, and the one door through which every failure leaves.

A verb imports what it needs when it runs: `--help` and completion load nothing but typer.
"""

# ruff: noqa: PLR0913 - the options of a verb are its parameters

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emqx_gitops.errors import EXIT_INTERRUPTED, EXIT_PROBLEMS, EXIT_TOOL, Failure, ToolFailure, UsageFailure

if TYPE_CHECKING:
    from collections.abc import Callable

    from emqx_gitops.rendering import Rendering

app = typer.Typer(
    help="EMQX clusters on Kubernetes from Git: render, validate, and start new ones.",
    epilog="Exit codes: 0 fine, 1 problems found, 2 wrong arguments, 3 a tool failed or is missing, 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _version(asked: bool) -> None:
    if asked:
        version()
        raise typer.Exit


@app.callback()
def options(
    _: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_version, show_default=False)] = False,
) -> None:
    """Take the options that come before a verb."""


plugin_app = typer.Typer(help="Link the plugin where kustomize looks for it, or unlink it.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(plugin_app, name="plugin")

Paths = Annotated[list[str] | None, typer.Argument(metavar="PATHS", help="Folders with a kustomization.yaml.", show_default=False)]
All = Annotated[bool, typer.Option("--all", help="Every overlay and cluster of the repository.")]
Jobs = Annotated[int | None, typer.Option("--jobs", "-j", min=1, help="How many at a time.  [default: one per processor]", show_default=False)]
KustomizeOption = Annotated[
    str | None, typer.Option("--kustomize", envvar="KUSTOMIZE", help="kustomize binary, instead of the clone's own or the one on PATH.", show_default=False)
]
KubeconformOption = Annotated[
    str | None,
    typer.Option("--kubeconform", envvar="KUBECONFORM", help="kubeconform binary, instead of the clone's own or the one on PATH.", show_default=False),
]


def _words(*words: str) -> Callable[[str], list[str]]:
    """Completion of an option that takes one of these words."""
    return lambda incomplete: [word for word in words if word.startswith(incomplete)]


def _example(line: str) -> dict[str, Any]:
    return {"epilog": f"Example: {line}", "no_args_is_help": False}


@app.command(**_example("emqx-gitops render overlays/persistent clusters/prod --output-dir rendered --split"))
def render(
    paths: Paths = None,
    all_layers: All = False,
    output_dir: Annotated[Path | None, typer.Option("--output-dir", "-o", help="Replace this folder by the result, as a whole.", show_default=False)] = None,
    split: Annotated[bool, typer.Option("--split", help="One file per object instead of one per folder; needs --output-dir.")] = False,
    jobs: Jobs = None,
    kustomize: KustomizeOption = None,
) -> None:
    """Build overlays and clusters, to stdout or into a folder."""
    from emqx_gitops import output, project, rendering, terminal
    from emqx_gitops.kustomize import find

    if split and output_dir is None:
        raise UsageFailure("--split: expected --output-dir too; got none", "say where the files go: --output-dir rendered")
    targets = project.targets(paths or [], all_layers)
    output.check_names(targets, output_dir)
    renderings = rendering.required(rendering.render_all(targets, find(kustomize), _jobs(jobs)))
    _warnings(renderings)
    if output_dir is None:
        terminal.result(output.stream(renderings))
    else:
        terminal.say(output.write(output_dir, renderings, split=split))


@app.command(**_example("emqx-gitops validate --all --kubernetes-version 1.33,1.37 --output github"))
def validate(
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATHS", help="Folders to render, rendered files or folders of them, or - for stdin.", show_default=False),
    ] = None,
    all_layers: All = False,
    kubernetes_version: Annotated[
        str | None, typer.Option("--kubernetes-version", metavar="MINOR[,MINOR]...", help="Kubernetes minors.  [default: all supported]", show_default=False)
    ] = None,
    output: Annotated[
        str, typer.Option("--output", metavar="text|json|sarif|github", help="How to report.", autocompletion=_words("text", "json", "sarif", "github"))
    ] = "text",
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 for warnings too.")] = False,
    date: Annotated[
        str | None,
        typer.Option("--date", metavar="YYYY-MM-DD", help="The day on which waivers must hold.  [default: that of the last commit]", show_default=False),
    ] = None,
    skip_kind: Annotated[
        list[str] | None, typer.Option("--skip-kind", metavar="KIND", help="Check no schema of this kind; may be repeated.", show_default=False)
    ] = None,
    jobs: Jobs = None,
    kustomize: KustomizeOption = None,
    kubeconform: KubeconformOption = None,
) -> None:
    """Check renderings: complete, valid, and a cluster that forms."""
    from emqx_gitops import kubeconform as conform
    from emqx_gitops import project, rendering, report, schemas, terminal, validate, waivers
    from emqx_gitops.kustomize import find

    if output not in report.REPORTERS:
        raise UsageFailure(f"--output: expected one of {', '.join(report.REPORTERS)}; got {output!r}", "choose one of them")
    day = waivers.given_day(date)
    targets, streams = (project.targets([], True), []) if all_layers and not paths else validate.sort_inputs(_named(paths, all_layers))
    source = schemas.source_folder()
    catalogs = tuple(schemas.Catalog(version, source, schemas.cache_folder()) for version in schemas.chosen(kubernetes_version, source))
    checker = conform.Kubeconform(conform.find(kubeconform), catalogs, tuple(skip_kind or ()), validate.crd_resources(Path.cwd()))
    renderings = [*(rendering.render_all(targets, find(kustomize), _jobs(jobs)) if targets else []), *streams]
    _warnings(renderings)
    found = validate.validate(renderings, checker, _jobs(jobs), day, strict=strict)
    terminal.result(report.REPORTERS[output](found, terminal.paint))
    if not found.fine:
        raise typer.Exit(EXIT_PROBLEMS)


def _named(paths: list[str] | None, all_layers: bool) -> list[str]:
    if not paths or all_layers:
        raise UsageFailure(f"expected folders or files to validate, or --all; got {'both' if paths else 'neither'}", "for example: emqx-gitops validate --all")
    return paths


@app.command(**_example("emqx-gitops diff origin/main...HEAD"))
def diff(
    compared: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[BASE..HEAD | BASE...HEAD | BASE | OLD NEW]",
            help="Two revisions, as Git reads them; one, for the work tree; or two folders.  [default: the work tree, since it left the default branch]",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            metavar="text|json|markdown|html",
            help="How to report; also markdown-summary and markdown-comment, which are cut to what GitHub takes.",
            autocompletion=_words("text", "json", "markdown", "markdown-summary", "markdown-comment", "html"),
        ),
    ] = "text",
    write: Annotated[
        list[str] | None,
        typer.Option("--write", metavar="FORM=FILE", help="Write a report of this form too, into a file; may be repeated.", show_default=False),
    ] = None,
    accept: Annotated[
        list[str] | None,
        typer.Option(
            "--accept", metavar="'RULE WHERE because REASON'", help="Accept a finding, as a commit's Accept: does; may be repeated.", show_default=False
        ),
    ] = None,
    no_gate: Annotated[bool, typer.Option("--no-gate", help="Only look: exit with 0 whatever is found.")] = False,
    mask_key_file: Annotated[
        Path | None,
        typer.Option(
            "--mask-key-file",
            metavar="FILE",
            envvar="EMQX_GITOPS_MASK_KEY_FILE",
            help="Key of the digests in masks, to compare them between runs.  [default: another in each run]",
            show_default=False,
        ),
    ] = None,
    date: Annotated[
        str | None,
        typer.Option(
            "--date", metavar="YYYY-MM-DD", help="The day on which consents and waivers hold.  [default: that of the last commit]", show_default=False
        ),
    ] = None,
    jobs: Jobs = None,
    kustomize: KustomizeOption = None,
) -> None:
    """Show what a change does to the clusters that run."""
    from emqx_gitops import terminal, waivers
    from emqx_gitops.kustomize import find
    from emqx_gitops.review import gate, masks, report, run

    form, files, key = report.form(output, "--output"), report.files(write or []), masks.key(mask_key_file)
    settings = run.Settings(find(kustomize), _jobs(jobs), tuple(gate.of_options(accept or [])), waivers.given_day(date))
    review = run.review(compared or [], Path.cwd(), settings)
    shown = masks.shown(review, key)
    report.write(shown, files)
    terminal.result(report.REPORTERS[form](shown, terminal.paint))
    if not review.passes and not no_gate:
        raise typer.Exit(EXIT_PROBLEMS)


@app.command(**_example("emqx-gitops publish --all --dry-run"))
def publish(
    paths: Paths = None,
    all_layers: All = False,
    branch: Annotated[
        str | None, typer.Option("--branch", metavar="BRANCH", help="The branch that holds the renderings.  [default: rendered]", show_default=False)
    ] = None,
    oci: Annotated[
        str | None,
        typer.Option("--oci", metavar="oci://REGISTRY/NAME:TAG", help="Push an OCI artifact there instead of a branch; needs crane.", show_default=False),
    ] = None,
    remote: Annotated[
        str, typer.Option("--remote", metavar="REMOTE", help="The remote to push to, by name or URL; with --oci, the source that the artifact names.")
    ] = "origin",
    removes: Annotated[
        list[str] | None,
        typer.Option("--removes", metavar="KIND/NAMESPACE/NAME", help="This object (or folder) goes on purpose; may be repeated.", show_default=False),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change, and write nothing.")] = False,
    jobs: Jobs = None,
    kustomize: KustomizeOption = None,
) -> None:
    """Push renderings as plain files to a branch, or to a registry."""
    from emqx_gitops import project, publish, rendering, terminal
    from emqx_gitops.kustomize import find

    if branch is not None and oci is not None:
        raise UsageFailure("expected --branch or --oci; got both", "publish twice, once to each")
    place = publish.prepare(project.targets(paths or [], all_layers), remote, "rendered" if branch is None else branch, oci)
    renderings = publish.required(rendering.required(rendering.render_all(list(place.targets), find(kustomize), _jobs(jobs))))
    _warnings(renderings)
    terminal.result(publish.publish(place, renderings, removes or [], whole=all_layers, dry_run=dry_run))


@app.command(**_example("emqx-gitops explain EMQX_CLUSTER__DISCOVERY_STRATEGY"))
def explain(
    what: Annotated[str, typer.Argument(metavar="WHAT", help="A variable, a config path, a rule's id, a folder to render, a rendered file, or - for stdin.")],
    output: Annotated[str, typer.Option("--output", metavar="text|json", help="How to answer.", autocompletion=_words("text", "json"))] = "text",
    kustomize: KustomizeOption = None,
) -> None:
    """Explain a variable, a rule, or how a cluster forms."""
    from emqx_gitops import explain, terminal

    if output not in explain.FORMATS:
        raise UsageFailure(f"--output: expected one of {', '.join(explain.FORMATS)}; got {output!r}", "choose one of them")
    terminal.result(explain.answer(what, output, kustomize))


@app.command(**_example("emqx-gitops new clusters/prod --from persistent --namespace emqx-prod --replicas 5"))
def new(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder to write, which must not exist yet.")],
    overlay: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="OVERLAY",
            help="persistent, statefulset-hostname or deployment-ip.",
            autocompletion=_words("persistent", "statefulset-hostname", "deployment-ip"),
        ),
    ] = "persistent",
    namespace: Annotated[str | None, typer.Option(help="Namespace.  [default: emqx-<folder's name>]", show_default=False)] = None,
    name_prefix: Annotated[str, typer.Option(help="Goes before every name, for example `prod-`.", show_default=False)] = "",
    replicas: Annotated[int | None, typer.Option(min=1, help="Members of the cluster.  [default: the overlay's, 3]", show_default=False)] = None,
    image: Annotated[str, typer.Option(help="EMQX image with its tag.  [default: the overlay's]", show_default=False)] = "",
    license_secret: Annotated[str, typer.Option(metavar="SECRET:KEY", help="Secret with the licence key.", show_default=False)] = "",
    evaluation_license: Annotated[bool, typer.Option("--evaluation-license", help="The built-in licence: 25 sessions, 30 days of uptime.")] = False,
    repository: Annotated[str, typer.Option(metavar="URL", help="Outside a clone: Git repository with the overlays.", show_default=False)] = "",
    ref: Annotated[str, typer.Option(metavar="REF", help="Tag or commit of that repository.", show_default=False)] = "",
) -> None:
    """Write the folder of a cluster of your own, on an overlay."""
    import os
    from dataclasses import replace

    from emqx_gitops import new, project, terminal

    if overlay not in new.OVERLAYS:
        raise UsageFailure(f"--from: expected one of {', '.join(new.OVERLAYS)}; got {overlay!r}", "choose one of them")
    path = Path(os.path.normpath(Path.cwd() / folder))
    cluster = new.Cluster(
        namespace=namespace or f"emqx-{path.name}",
        name_prefix=name_prefix,
        replicas=replicas,
        image=image,
        license_secret=license_secret,
        evaluation_license=evaluation_license,
    )
    new.check(cluster)
    made_by = new.namespace_is_made(project.find_root(path.parent), cluster.namespace)
    cluster = replace(cluster, own_namespace=not made_by)
    new.write(path, new.files(cluster, _base(path, overlay, repository, ref)))
    terminal.say(new.next_steps(project.shown(path), cluster, made_by))


def _base(folder: Path, overlay: str, repository: str, ref: str) -> Any:
    from emqx_gitops import new

    local = None if repository or ref else new.local_base(folder, overlay)
    if local:
        return local
    if not repository or not ref:
        missing = " and ".join(name for name, value in (("--repository", repository), ("--ref", ref)) if not value)
        message = f"{overlay}: expected overlays/{overlay} and plugins/inject around the new folder, or --repository and --ref; missing: {missing}"
        raise UsageFailure(message, "run it in a clone, or name the Git repository with the overlays, and a tag of it")
    return new.git_base(repository, ref, overlay)


@app.command(**_example("emqx-gitops secrets overlays/persistent | kubectl create -f -"))
def secrets(
    path: Annotated[str, typer.Argument(metavar="PATH", help="A folder to render, a rendered file, or - for stdin.")],
    only: Annotated[list[str] | None, typer.Option("--only", metavar="NAME", help="Only the Secret of this name; may be repeated.", show_default=False)] = None,
    show: Annotated[bool, typer.Option("--show", help="Print the values even to a terminal.")] = False,
    kustomize: KustomizeOption = None,
) -> None:
    """Print the Secrets that a rendering needs, with random values."""
    from emqx_gitops import rendering, secrets, terminal, validate
    from emqx_gitops.kustomize import find

    if sys.stdout.isatty() and not show:
        message = "secrets: expected a pipe; stdout is a terminal, and the values would stay in its history"
        raise UsageFailure(message, f"pipe it: emqx-gitops secrets {path} | kubectl create -f -    (or say --show)")
    targets, streams = validate.sort_inputs([path])
    (rendered,) = rendering.required([*streams, *(rendering.render(find(kustomize), target) for target in targets)])
    found = secrets.missing(rendered.resources)
    unknown = sorted(set(only or ()) - {secret.name for secret in found})
    if unknown:
        names = ", ".join(secret.name for secret in found) or "none"
        raise UsageFailure(f"--only: expected one of the Secrets that are missing ({names}); got {', '.join(unknown)}", "correct the name")
    chosen = [secret for secret in found if not only or secret.name in only]
    for note in filter(None, map(secrets.advice, chosen)):
        terminal.say(note)
    if not chosen:
        terminal.say("nothing to make: the rendering refers to no Secret that it does not hold")
    terminal.result("---\n".join(secrets.manifest(secret) for secret in chosen if not secret.given))


@app.command(**_example("emqx-gitops schema --check"))
def schema(
    kind: Annotated[str | None, typer.Argument(metavar="emqxcluster|emqxpolicy", help="Print this one instead of writing both.", show_default=False)] = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail when a file in plugins/schemas/ is out of date.")] = False,
) -> None:
    """Write the JSON Schemas of both kinds, for editors."""
    from emqx_gitops import schema, terminal
    from emqx_gitops.installation import clone_root

    if kind is not None:
        if kind not in schema.KINDS:
            raise UsageFailure(f"schema: expected one of {', '.join(schema.KINDS)}; got {kind!r}", "choose one of them")
        terminal.result(schema.text(schema.KINDS[kind]))
        return
    root = clone_root()
    if root is None:
        raise UsageFailure("schema: expected a clone to write plugins/schemas/ into; this is an installed package", "name a kind to print its schema")
    folder = root / "plugins" / "schemas"
    stale = schema.stale(folder)
    if check and stale:
        terminal.say(f"emqx-gitops: plugins/schemas/ is out of date: {', '.join(sorted(stale))}\n  fix: run `make schema` and commit the result")
        raise typer.Exit(EXIT_PROBLEMS)
    for name, text in stale.items():
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
        terminal.say(f"wrote plugins/schemas/{name}")


@plugin_app.command(**_example("emqx-gitops plugin install"))
def install(
    link_bin: Annotated[bool, typer.Option("--link-bin", help="Also link the programs into ~/.local/bin where PATH has none.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Take over a link that leads elsewhere.")] = False,
) -> None:
    """Link the plugin of this installation where kustomize looks for it."""
    from emqx_gitops import plugin_link, terminal

    try:
        messages = plugin_link.install(link_bin=link_bin, force=force)
    except plugin_link.LinkError as error:
        for message in error.done:
            terminal.say(message)
        terminal.say(f"emqx-gitops: {error}")
        raise typer.Exit(EXIT_PROBLEMS) from None
    for message in messages:
        terminal.say(message)


@plugin_app.command(**_example("emqx-gitops plugin uninstall"))
def uninstall() -> None:
    """Remove the links that lead to this installation, and nothing else."""
    from emqx_gitops import plugin_link, terminal

    try:
        messages = plugin_link.uninstall()
    except plugin_link.LinkError as error:
        terminal.say(f"emqx-gitops: {error}")
        raise typer.Exit(EXIT_PROBLEMS) from None
    for message in messages:
        terminal.say(message)


@app.command(**_example("emqx-gitops doctor"))
def doctor() -> None:
    """Show what is installed, what is wrong, and how to mend it."""
    from emqx_gitops import doctor, report, terminal

    findings = doctor.findings()
    terminal.result(report.findings(findings, terminal.paint))
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(EXIT_PROBLEMS)


@app.command(**_example("emqx-gitops version"))
def version() -> None:
    """Print the version."""
    from emqx_fn import __version__
    from emqx_gitops import terminal

    terminal.result(f"emqx-gitops {__version__}\n")


def _jobs(given: int | None) -> int:
    from emqx_gitops.process import default_jobs

    return given or default_jobs()


def _warnings(renderings: list[Rendering]) -> None:
    from emqx_gitops import terminal

    for rendering in renderings:
        for line in rendering.warnings.splitlines():
            terminal.say(f"{rendering.name}: {line}")


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """Run the program. Every failure ends here, with one message and one of the documented exit codes."""
    # A runner that gives up sends TERM: end what runs and clean up, as for Ctrl-C.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        app(prog_name="emqx-gitops")
    except Failure as failure:
        sys.stderr.write(failure.report())
        sys.exit(failure.exit_code)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        sys.stderr.write(ToolFailure(f"{where}{error.strerror or error}", "check the file, its permissions and the space on the disk").report())
        # What stdout could not take is tried again at exit, and Python would add two lines of its own and another code.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_TOOL)
    except Exception:  # noqa: BLE001 - our own mistake: no exit code of the user's may stand for it
        import traceback

        traceback.print_exc()
        sys.stderr.write(ToolFailure("this is a mistake in emqx-gitops itself", "please report the lines above, and what you ran").report())
        sys.exit(EXIT_TOOL)
