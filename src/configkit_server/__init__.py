"""
The REST server: the core of configkit for everything that is not Python, and for operators.

    from configkit_server import TokenAuth, create_app

    app = create_app(kit, auth=TokenAuth(kit.backends.tokens))
"""

from configkit_server.app import create_app, running
from configkit_server.auth import Auth, Grant, TokenAuth
from configkit_server.bodies import Limits
from configkit_server.problems import ProblemError

__all__ = ["Auth", "Grant", "Limits", "ProblemError", "TokenAuth", "create_app", "running"]
