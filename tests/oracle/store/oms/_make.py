#!/usr/bin/env python3
"""Made model.sig and key.pub: a signature by the reference implementation (PyPI model-signing 1.1.1, sigstore/model-transparency).
The private key was thrown away."""
import pathlib

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from model_signing import hashing, signing

here = pathlib.Path(__file__).parent
key = ec.generate_private_key(ec.SECP256R1())
secret = here / "key"
secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
(here / "key.pub").write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
signing.Config().use_elliptic_key_signer(private_key=secret).set_hashing_config(hashing.Config()).sign(here / "model", here / "model.sig")
secret.unlink()
