"""What a user types to reach a cluster by hand."""

import shutil
import subprocess

import pytest

from fairlead_cluster.access import Access


@pytest.mark.parametrize("has_kubectl", [True, False], ids=["kubectl-there", "no-kubectl"])
@pytest.mark.parametrize("kubeconfig", ["of its own", None], ids=["embedded", "foreign"])
def test_exports_lead_a_shell_to_kubectl_and_to_the_cluster(
    tmp_path, monkeypatch, has_kubectl, kubeconfig
):
    """The cluster's kubectl comes last: a user's own is left in its place."""
    shell = shutil.which("sh")
    own, ours = tmp_path / "own", tmp_path / "ours"
    for folder in [ours] + [own] * has_kubectl:
        folder.mkdir()
        (folder / "kubectl").write_text(f"#!{shell}\necho {folder.name} $KUBECONFIG\n")
        (folder / "kubectl").chmod(0o755)
    monkeypatch.setenv("PATH", str(own))
    monkeypatch.setenv("KUBECONFIG", "/inherited")
    where = Access(ours / "kubectl", ours / "helm", kubeconfig and tmp_path / "config", None)
    script = "\n".join([*where.exports(), "kubectl"])
    said = subprocess.run([shell, "-c", script], capture_output=True, text=True, check=True).stdout
    reached = str(tmp_path / "config") if kubeconfig else "/inherited"
    assert said.split() == ["own" if has_kubectl else "ours", reached]
