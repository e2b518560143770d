"""The ready-made source that a signature vouches for: JSON Web Tokens, verified by PyJWT."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from payi_middleware.annotations import Annotations
from payi_middleware.exceptions import ConfigurationError

from .forwarded import check_names
from .incoming import Incoming, Trust
from .values import text

if TYPE_CHECKING:
    import jwt

    Key = str | bytes | jwt.PyJWK | jwt.algorithms.AllowedPublicKeys

_INSTALL = "pip install 'payi-middleware[jwt]'"


@dataclass(frozen=True, slots=True)
class JWT:
    """Take the identity from a JSON Web Token (RFC 7519) whose signature and dates are valid, whoever the peer is.

    A token that is invalid, expired or meant for another audience is no identity; the app itself decides whether to
    refuse the request. A token that has an `aud` claim needs `audience` here (RFC 7519, section 4.1.3).

    Args:
        key: the secret or public key, or a function of the token's header that returns it, for keys that rotate;
            it runs on the request's thread, so let it look up keys that are at hand and never fetch them.
        algorithms: what the issuer signs with, such as `["RS256"]`.
        audience, issuer: what `aud` must contain and `iss` must be; None for `issuer` accepts any.
        user_claim, session_claim, account_claim: the claims that hold the identity; None reads none.
        header: the header that carries the token: after `Bearer`, or alone if it is not `Authorization`.
        cookie: the cookie that carries it where the header does not.

    Raises:
        ConfigurationError: PyJWT is not installed, or the key or algorithms would let anybody in or nobody.
    """

    key: Key | Callable[[dict[str, Any]], Key] = field(repr=False)
    algorithms: Sequence[str]
    audience: str | Sequence[str] | None = None
    issuer: str | Sequence[str] | None = None
    user_claim: str | None = "sub"
    session_claim: str | None = "sid"
    account_claim: str | None = None
    header: str = "Authorization"
    cookie: str | None = None

    name: ClassVar[str] = "JWT"
    trust: ClassVar[Trust] = Trust.VERIFIED
    late: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_names("JWT", (self.header, self.cookie))
        _check_algorithms(self.algorithms)
        object.__setattr__(self, "algorithms", tuple(self.algorithms))
        _check_key(self.key, self.algorithms)

    def read(self, incoming: Incoming) -> Annotations | None:
        token = self._token(incoming)
        claims = self._claims(token) if token and token.isascii() else None
        if claims is None:
            return None
        user_id, session_id, account = (
            None if claim is None else text(claims.get(claim))
            for claim in (self.user_claim, self.session_claim, self.account_claim)
        )
        return Annotations(user_id=user_id, session_id=session_id, account_name=account)

    def _claims(self, token: str) -> Mapping[str, Any] | None:
        import jwt

        try:
            key = self.key(jwt.get_unverified_header(token)) if callable(self.key) else self.key
            return jwt.decode(
                token,
                key,
                algorithms=list(self.algorithms),
                audience=self.audience,
                issuer=self.issuer,
                options={"verify_sub": False},  # issuers that write a number as `sub` are common
            )
        except jwt.InvalidTokenError:
            return None

    def _token(self, incoming: Incoming) -> str | None:
        first, _, rest = (incoming.header(self.header) or "").strip().partition(" ")
        if first.lower() == "bearer" and rest:
            return rest.strip()
        if first and not rest and self.header.lower() != "authorization":
            return first
        return None if self.cookie is None else _cookie(incoming.header("cookie") or "", self.cookie)


def _cookie(header: str, wanted: str) -> str | None:
    for pair in header.split(";"):
        name, _, value = pair.strip().partition("=")
        if name == wanted:
            return value.strip('"')
    return None


def _check_algorithms(algorithms: Sequence[str]) -> None:
    try:
        from jwt.algorithms import get_default_algorithms, requires_cryptography
    except ImportError:
        raise ConfigurationError("JWT", "PyJWT is not installed", f"Run {_INSTALL}.") from None
    setting = "JWT.algorithms"
    if isinstance(algorithms, str) or not algorithms or not all(isinstance(name, str) for name in algorithms):
        raise ConfigurationError(setting, "not a list of algorithms", "Name the issuer's, such as ['RS256'].")
    if any(name.lower() == "none" for name in algorithms):
        raise ConfigurationError(setting, "'none' accepts tokens that anybody can write", "Take it out.")
    known = get_default_algorithms()
    for name in algorithms:
        if name not in known:
            fix = f"Run {_INSTALL}." if name in requires_cryptography else f"Known: {', '.join(known)}."
            raise ConfigurationError(setting, f"{name!r} is not available", fix)
    if len({name.startswith("HS") for name in algorithms}) > 1:
        raise ConfigurationError(
            setting,
            "secrets (HS…) and key pairs must not be mixed: whoever has the public key could sign",
            "Add one JWT source for each.",
        )


def _check_key(key: object, algorithms: Sequence[str]) -> None:
    import jwt

    if callable(key) or isinstance(key, jwt.PyJWK):
        return
    problem: str | None = None if key else "it is empty"
    try:
        for name in algorithms:
            jwt.get_algorithm_by_name(name).prepare_key(key)
    except (jwt.PyJWTError, TypeError, ValueError):
        problem = problem or f"it does not suit {name}"
    if problem:
        raise ConfigurationError("JWT.key", problem, "Pass the issuer's secret or public key, or a function for it.")
