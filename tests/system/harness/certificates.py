"""certificates.py - what TLS in the tests needs."""
import os
import shutil
import subprocess

from harness.runner import skip
from harness.server import temporary_folder


def certificate(**options):
    """Configuration with a new certificate for 127.0.0.1 that is its own authority. Skips the test without openssl."""
    if shutil.which("openssl") is None:
        skip("no openssl")
    folder = temporary_folder()
    cert, key = os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
                    "-keyout", key, "-out", cert], check=True, capture_output=True, timeout=60)
    return {"tls_cert_file": cert, "tls_key_file": key, "tls_ca_cert_file": cert, **options}


def cli_words(tls):
    """What makes redis-cli speak TLS with the same certificate."""
    return ["--tls", "--cacert", tls["tls_ca_cert_file"], "--cert", tls["tls_cert_file"], "--key", tls["tls_key_file"]]
