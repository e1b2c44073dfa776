"""Every environment variable that configkit reads, typed; each also exists with the prefix ``CONFIGKIT_``, which wins."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from configkit.names import DEFAULT_ENVIRONMENTS, check_environment, check_instance_id, check_service_name

Mode = Literal["embedded", "direct", "remote", "memory"]


def _own(name: str) -> AliasChoices:
    return AliasChoices(f"CONFIGKIT_{name}")


def _either(name: str) -> AliasChoices:
    return AliasChoices(f"CONFIGKIT_{name}", name)


class Settings(BaseSettings):
    """
    What the environment says.

    Variables without the prefix are the original service's names. A library inside somebody else's program must not take
    a `DATABASE_URL` that was meant for that program, so those count only where the mode is chosen explicitly or the
    program is configkit's own (`configkit`, the server).
    """

    model_config = SettingsConfigDict(extra="ignore", case_sensitive=True, env_ignore_empty=True, populate_by_name=True)

    mode: Mode | None = Field(
        None,
        validation_alias=_own("MODE"),
        description="embedded, direct, remote or memory; without it remote where CONFIGKIT_URL is set, else embedded.",
    )
    url: str | None = Field(None, validation_alias=_own("URL"), description="The server's address, for the remote mode.")
    token: SecretStr | None = Field(
        None,
        validation_alias=_own("TOKEN"),
        description="The bearer token to present; at a server, one that it accepts with every scope.",
    )
    service_name: str | None = Field(None, validation_alias=_own("SERVICE_NAME"), description="This service's name.")
    environment: str = Field(
        "development", validation_alias=_own("ENVIRONMENT"), description="The environment this process lives in."
    )
    supported_environments: Annotated[frozenset[str], NoDecode] = Field(
        frozenset(DEFAULT_ENVIRONMENTS),
        validation_alias=_either("SUPPORTED_ENVIRONMENTS"),
        description="The environments that exist, separated by commas.",
    )
    deadline: float = Field(
        5.0, gt=0, le=60, validation_alias=_own("DEADLINE"), description="Seconds within which every call is answered."
    )
    master_key: SecretStr | None = Field(
        None,
        validation_alias=_own("MASTER_KEY"),
        description="Encrypts secrets at rest in embedded mode; without it a key file beside the database does.",
    )
    host: str = Field("127.0.0.1", validation_alias=_own("HOST"), description="The address the server binds.")
    port: int = Field(8082, ge=0, le=65535, validation_alias=_own("PORT"), description="The port the server binds.")

    database_url: SecretStr | None = Field(
        None,
        validation_alias=_either("DATABASE_URL"),
        description="The database: in embedded mode sqlite:////path/to/configkit.db, in direct mode "
        "postgresql://user:password@host/database.",
    )
    database_schema: str = Field(
        "configkit",
        pattern="^[a-z_][a-z0-9_]{0,62}$",
        validation_alias=_own("DATABASE_SCHEMA"),
        description="The PostgreSQL schema that the tables lie in.",
    )
    redis_host: str | None = Field(None, validation_alias=_either("REDIS_HOST"), description="Redis, the cache of direct mode.")
    redis_port: int = Field(6379, ge=1, le=65535, validation_alias=_either("REDIS_PORT"), description="Its port.")
    redis_password: SecretStr | None = Field(None, validation_alias=_either("REDIS_PASSWORD"), description="Its password.")
    redis_username: str | None = Field(
        None,
        validation_alias=_either("REDIS_USERNAME"),
        description="The user of Redis' access control lists; without it, default.",
    )
    redis_db: int = Field(0, ge=0, validation_alias=_either("REDIS_DB"), description="The number of Redis' logical database.")
    redis_namespace: str = Field(
        "configkit", validation_alias=_either("REDIS_NAMESPACE"), description="What every key in Redis begins with."
    )
    redis_ssl: bool = Field(default=False, validation_alias=_either("REDIS_SSL"), description="true: Redis is reached over TLS.")
    redis_ssl_cafile: str | None = Field(
        None,
        validation_alias=_either("REDIS_SSL_CAFILE"),
        description="File of the certificates to trust at Redis, in PEM; without it, the system's.",
    )
    redis_ssl_certfile: str | None = Field(
        None, validation_alias=_either("REDIS_SSL_CERTFILE"), description="File of the certificate to present to Redis, in PEM."
    )
    redis_ssl_keyfile: str | None = Field(
        None, validation_alias=_either("REDIS_SSL_KEYFILE"), description="File of that certificate's key, in PEM."
    )
    kafka_bootstrap_servers: str | None = Field(
        None, validation_alias=_either("KAFKA_BOOTSTRAP_SERVERS"), description="Kafka, the event bus of direct mode."
    )
    kafka_topic_config_updates: str = Field(
        "config-updates", validation_alias=_either("KAFKA_TOPIC_CONFIG_UPDATES"), description="The topic that tells of changes."
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT",
        validation_alias=_either("KAFKA_SECURITY_PROTOCOL"),
        description="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL: how Kafka is reached.",
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "PLAIN", validation_alias=_either("KAFKA_SASL_MECHANISM"), description="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512."
    )
    kafka_sasl_username: str | None = Field(
        None, validation_alias=_either("KAFKA_SASL_USERNAME"), description="The account at Kafka, where it is reached with SASL."
    )
    kafka_sasl_password: SecretStr | None = Field(
        None, validation_alias=_either("KAFKA_SASL_PASSWORD"), description="That account's password."
    )
    kafka_ssl_cafile: str | None = Field(
        None,
        validation_alias=_either("KAFKA_SSL_CAFILE"),
        description="File of the certificates to trust at Kafka, in PEM; without it, the system's.",
    )
    kafka_ssl_certfile: str | None = Field(
        None, validation_alias=_either("KAFKA_SSL_CERTFILE"), description="File of the certificate to present to Kafka, in PEM."
    )
    kafka_ssl_keyfile: str | None = Field(
        None, validation_alias=_either("KAFKA_SSL_KEYFILE"), description="File of that certificate's key, in PEM."
    )
    vault_addr: str | None = Field(None, validation_alias=_either("VAULT_ADDR"), description="Vault, the store of direct mode.")
    vault_token: SecretStr | None = Field(None, validation_alias=_either("VAULT_TOKEN"), description="Its token.")
    vault_mount_point: str = Field(
        "secret", validation_alias=_either("VAULT_MOUNT_POINT"), description="Where the KV engine is mounted."
    )
    vault_kv_version: int = Field(
        2, ge=1, le=2, validation_alias=_either("VAULT_KV_VERSION"), description="The KV engine's version."
    )
    vault_namespace: str | None = Field(
        None, validation_alias=_either("VAULT_NAMESPACE"), description="Vault's namespace (Vault Enterprise, OpenBao)."
    )
    vault_role_id: str | None = Field(
        None, validation_alias=_either("VAULT_ROLE_ID"), description="The AppRole to log in as; wins over the other ways."
    )
    vault_secret_id: SecretStr | None = Field(
        None, validation_alias=_either("VAULT_SECRET_ID"), description="That AppRole's secret id."
    )
    vault_k8s_role: str | None = Field(
        None,
        validation_alias=_either("VAULT_K8S_ROLE"),
        description="The role to log in as with the pod's Kubernetes service account; wins over VAULT_TOKEN.",
    )
    vault_k8s_token_file: str = Field(
        "/var/run/secrets/kubernetes.io/serviceaccount/token",
        validation_alias=_either("VAULT_K8S_TOKEN_FILE"),
        description="Where the service account's token is, read at each login.",
    )
    vault_auth_mount: str | None = Field(
        None,
        validation_alias=_either("VAULT_AUTH_MOUNT"),
        description="Where the login method is enabled; without it, approle or kubernetes.",
    )
    vault_cacert: str | None = Field(
        None,
        validation_alias=_either("VAULT_CACERT"),
        description="File of the certificates to trust at Vault, in PEM; without it, those of the certifi package.",
    )
    vault_client_cert: str | None = Field(
        None, validation_alias=_either("VAULT_CLIENT_CERT"), description="File of the certificate to present to Vault, in PEM."
    )
    vault_client_key: str | None = Field(
        None, validation_alias=_either("VAULT_CLIENT_KEY"), description="File of that certificate's key, in PEM."
    )
    zookeeper_hosts: str | None = Field(
        None, validation_alias=_either("ZOOKEEPER_HOSTS"), description="ZooKeeper, the registry of direct mode."
    )
    zookeeper_base_path: str = Field(
        "/services", validation_alias=_either("ZOOKEEPER_BASE_PATH"), description="Where services register."
    )
    zookeeper_connection_timeout: float = Field(
        10.0,
        gt=0,
        validation_alias=_either("ZOOKEEPER_CONNECTION_TIMEOUT"),
        description="Seconds for connecting to one of the servers; 3 at most are used, since trying again is cheap.",
    )
    zookeeper_session_timeout: float = Field(
        10.0,
        gt=0,
        validation_alias=_either("ZOOKEEPER_SESSION_TIMEOUT"),
        description="Seconds until ZooKeeper gives a silent process up; what it registered is gone then.",
    )
    zookeeper_username: str | None = Field(
        None,
        validation_alias=_either("ZOOKEEPER_USERNAME"),
        description="The user to log in to ZooKeeper as: by SASL, or else digest.",
    )
    zookeeper_password: SecretStr | None = Field(
        None, validation_alias=_either("ZOOKEEPER_PASSWORD"), description="That user's password."
    )
    zookeeper_sasl_mechanism: Literal["DIGEST-MD5", "GSSAPI"] | None = Field(
        None,
        validation_alias=_either("ZOOKEEPER_SASL_MECHANISM"),
        description="DIGEST-MD5, or GSSAPI with the process's Kerberos ticket; without it no SASL.",
    )
    zookeeper_acl: Literal["open", "creator", "creator_read"] = Field(
        "open",
        validation_alias=_either("ZOOKEEPER_ACL"),
        description="Who may change what is registered: everybody (open), only the same user (creator), or the same user "
        "while everybody may read (creator_read).",
    )
    zookeeper_tls: bool = Field(
        default=False, validation_alias=_either("ZOOKEEPER_TLS"), description="true: the connection to ZooKeeper is encrypted."
    )
    zookeeper_ca_cert: str | None = Field(
        None,
        validation_alias=_either("ZOOKEEPER_CA_CERT"),
        description="File of the certificates to trust at ZooKeeper, in PEM; without it, the system's.",
    )
    zookeeper_client_cert: str | None = Field(
        None,
        validation_alias=_either("ZOOKEEPER_CLIENT_CERT"),
        description="File of the certificate to present to ZooKeeper, in PEM.",
    )
    zookeeper_client_key: str | None = Field(
        None, validation_alias=_either("ZOOKEEPER_CLIENT_KEY"), description="File of that certificate's key, in PEM."
    )
    zookeeper_client_key_password: SecretStr | None = Field(
        None, validation_alias=_either("ZOOKEEPER_CLIENT_KEY_PASSWORD"), description="The password of that key."
    )
    zookeeper_payload_class: str | None = Field(
        None,
        validation_alias=_either("ZOOKEEPER_PAYLOAD_CLASS"),
        description="The Java class that typed JVM readers expect payloads to be, such as "
        "org.springframework.cloud.zookeeper.discovery.ZookeeperInstance.",
    )
    service_registry_enabled: bool = Field(
        default=True, validation_alias=_either("SERVICE_REGISTRY_ENABLED"), description="false: registering does nothing."
    )
    service_health_check_interval: float = Field(
        30.0,
        ge=1,
        le=3600,
        validation_alias=_either("SERVICE_HEALTH_CHECK_INTERVAL"),
        description="Seconds between two checks of an instance.",
    )
    service_instance_id: str | None = Field(
        None,
        validation_alias=_either("SERVICE_INSTANCE_ID"),
        description="This process's instance id; without it, a hash of service and URL.",
    )
    health_check_denied_networks: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        validation_alias=_own("HEALTH_CHECK_DENIED_NETWORKS"),
        description="Networks never called for health checks, separated by commas.",
    )

    ofrep_per_second: float | None = Field(
        None,
        gt=0,
        validation_alias=_own("OFREP_PER_SECOND"),
        description="Requests a second of OpenFeature's remote evaluation from one caller; without it, any number.",
    )

    @field_validator("supported_environments", mode="before")
    @classmethod
    def _split_environments(cls, given: object) -> object:
        return frozenset(_split(given)) if isinstance(given, str) else given

    @field_validator("health_check_denied_networks", mode="before")
    @classmethod
    def _split_networks(cls, given: object) -> object:
        return tuple(_split(given)) if isinstance(given, str) else given

    @field_validator("supported_environments")
    @classmethod
    def _environments(cls, given: frozenset[str]) -> frozenset[str]:
        return frozenset(_checked(check_environment, name) for name in given)

    @field_validator("environment")
    @classmethod
    def _environment(cls, given: str) -> str:
        return _checked(check_environment, given)

    @field_validator("service_name")
    @classmethod
    def _service(cls, given: str | None) -> str | None:
        return None if given is None else _checked(check_service_name, given)

    @field_validator("service_instance_id")
    @classmethod
    def _instance(cls, given: str | None) -> str | None:
        return None if given is None else _checked(check_instance_id, given)


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _checked(check: object, name: str) -> str:
    from configkit.errors import InvalidDocumentError  # noqa: PLC0415

    try:
        return str(check(name))  # type: ignore[operator]
    except InvalidDocumentError as error:
        raise ValueError(error.detail) from None
