"""Graph + backend -> Plan: kernels chosen, weights packed, memory placed for any size of the dynamic dimensions."""

from .lowering import Backend, KernelStep, Lowering, ReferenceStep
from .plan import Binding, Plan

__all__ = ["Backend", "Binding", "KernelStep", "Lowering", "Plan", "ReferenceStep"]
