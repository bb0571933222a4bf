"""Say what runs: one line a component, and the way to more."""

from __future__ import annotations

from fairlead_cluster import addons, api, cluster, errors, simulated, state
from fairlead_cluster.settings import Settings

CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok")
NODE = ("containerd", "kubelet", "kube-proxy")


def require(settings: Settings) -> tuple[cluster.Cluster, state.State]:
    """Return the cluster of the settings.

    Raises:
        NoCluster: When there is none.
    """
    record = state.read(state.layout_of(settings.state_dir, settings.name).state_file)
    if record is None:
        others = ", ".join(state.names(settings.state_dir)) or "none"
        raise errors.NoCluster(
            f"there is no cluster {settings.name} (clusters here: {others})",
            "make it with `fairlead-cluster up`",
        )
    return cluster.open_cluster(settings, record), record


def components(record: state.State) -> tuple[str, ...]:
    """Names of the processes that the cluster should have."""
    return CONTROL_PLANE if record.control_plane_only else (*CONTROL_PLANE, *NODE)


def report(opened: cluster.Cluster, record: state.State) -> tuple[list[str], bool]:
    """Describe the cluster in lines, and tell whether all of it runs."""
    running = {name: opened.supervisor.pid(name) for name in components(record)}
    lines = [
        f"cluster {record.name}: pods {opened.addresses.pods}, services "
        f"{opened.addresses.services}, API server {opened.addresses.node}"
    ]
    for name, pid in running.items():
        what = "not running" if pid is None else f"running (pid {pid})"
        lines.append(f"  {name:<26} {what:<22} {opened.supervisor.log(name)}")
    is_whole = record.complete and None not in running.values()
    nodes = _nodes(opened.server)
    lines += nodes if nodes else ["  the API server does not answer"]
    if record.with_addons and not record.control_plane_only:
        serving = addons.serving(opened.server)
        is_whole = is_whole and all(serving.values())
        words = {True: "serves", False: "does not serve"}
        lines += [f"  add-on {name:<19} {words[serves]}" for name, serves in serving.items()]
    if not is_whole:
        lines.append("not all of it runs: `fairlead-cluster up` takes over from here")
    return lines, is_whole and bool(nodes)


def _nodes(server: api.Api) -> list[str]:
    listed = server.get("/api/v1/nodes")
    if listed is None:
        return []
    items = listed["items"]
    simulated_items = [
        item for item in items if item["metadata"]["name"].startswith(simulated.PREFIX)
    ]
    words = {True: "Ready", False: "NotReady"}
    lines = [
        f"  node {item['metadata']['name']:<21} {words[simulated.is_ready(item)]}"
        for item in items
        if item not in simulated_items
    ]
    num_ready = sum(simulated.is_ready(item) for item in simulated_items)
    lines.append(f"  simulated GPU nodes        {num_ready} of {len(simulated_items)} Ready")
    return lines
