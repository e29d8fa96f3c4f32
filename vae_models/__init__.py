"""The variational autoencoders that studies train, and what judges them. Needs torch and pydantic alone."""

from typing import TYPE_CHECKING, Any

from vae_models.config import ModelConfig

if TYPE_CHECKING:
    from vae_models.vae import VAE, VAE_Decoder, VAE_DecoderPP, VAE_Encoder, VAE_EncoderPP, build_vae

__all__ = ["VAE", "ModelConfig", "VAE_Decoder", "VAE_DecoderPP", "VAE_Encoder", "VAE_EncoderPP", "build_vae"]


def __getattr__(name: str) -> Any:
    """The networks, when they are first asked for: a config needs no torch, which takes seconds to import."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from vae_models import vae

    return globals().setdefault(name, getattr(vae, name))
