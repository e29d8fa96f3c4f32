"""The variational autoencoders that studies train, and what judges them. Needs torch and pydantic alone."""

from vae_models.config import ModelConfig
from vae_models.vae import VAE, VAE_Decoder, VAE_DecoderPP, VAE_Encoder, VAE_EncoderPP, build_vae

__all__ = [
    "VAE",
    "ModelConfig",
    "VAE_Decoder",
    "VAE_DecoderPP",
    "VAE_Encoder",
    "VAE_EncoderPP",
    "build_vae",
]
