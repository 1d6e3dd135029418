"""The course's helper package: one module a stage, from a PyTorch checkpoint to sound from ONNX Runtime.

Importing the package imports nothing else; each module names what it needs.
"""
