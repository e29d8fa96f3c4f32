from support.trained_model import digits, model

__all__ = ["digits", "model"]
