"""A real Kubernetes on one machine: control plane, node and add-ons in a network namespace.

Law of this room: it starts programs and knows nothing of Fairlead's resources. It may use the
standard library, cryptography and PyYAML, never another distribution of Fairlead. The pure
modules (`ranges`, `layout`, `pki`, `kubeconfig`, `components`, `pins`) start nothing; everything
that touches the machine is idempotent, so an `up` that was interrupted is taken over by the next.
"""

__version__ = "0.1.0"
__all__ = ["__version__"]
