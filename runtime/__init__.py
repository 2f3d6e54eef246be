"""Load and run programs. Needs NumPy and safetensors only."""
