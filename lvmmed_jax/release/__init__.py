"""Encoders handed on: model cards, folders for hubs, ONNX."""
