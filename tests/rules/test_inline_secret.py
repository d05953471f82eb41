"""What is taken for a secret in clear, and what is not: entries as they stand in charts, manuals and people's repositories."""

from __future__ import annotations

import pytest

from emqx_fn import keytable
from emqx_fn.environment import is_clear
from emqx_fn.values import is_secret

HARMLESS = """\
EMQX_AUTHENTICATION__1__MECHANISM=password_based
EMQX_AUTHENTICATION__1__FROM=password
EMQX_AUTHENTICATION__1={mechanism = jwt, from = password, use_jwks = true, endpoint = "https://idp/jwks"}
EMQX_AUTHENTICATION={mechanism = password_based, backend = built_in_database, password_hash_algorithm = {name = bcrypt}}
EMQX_AUTHENTICATION__1__PASSWORD_HASH_ALGORITHM__NAME=sha256
EMQX_AUTHENTICATION__1__PASSWORD_HASH_ALGORITHM__SALT_POSITION=suffix
EMQX_AUTHENTICATION__1__PASSWORD_HASH_ALGORITHM__SALT_ROUNDS=10
EMQX_AUTHENTICATION__1__PASSWORD_HASH_ALGORITHM={name = sha256, salt_position = prefix}
EMQX_AUTHENTICATION__1__PASSWORD_HASH_FIELD=password_hash
EMQX_AUTHENTICATION__1__METHOD__PASSWORD_ATTRIBUTE=userPassword
EMQX_AUTHENTICATION__1__METHOD__BIND_PASSWORD=${password}
EMQX_AUTHENTICATION__1__SECRET_BASE64_ENCODED=true
EMQX_AUTHENTICATION__1__PUBLIC_KEY=/etc/jwt/public.pem
EMQX_AUTHENTICATION__1__QUERY=SELECT password_hash, salt FROM mqtt_user where username = ${username} LIMIT 1
EMQX_AUTHENTICATION__1__CMD=HMGET mqtt_user:${username} password_hash salt
EMQX_AUTHENTICATION__1__BODY={username: "${username}", password: "${password}"}
EMQX_AUTHENTICATION__1__BODY__PASSWORD=${password}
EMQX_AUTHENTICATION__1__HEADERS__AUTHORIZATION=Bearer ${token}
EMQX_AUTHENTICATION__1__OAUTH2__TOKEN_ENDPOINT=https://idp/token
EMQX_AUTHENTICATION__1__PASSWORD=$(DB_PASSWORD)
EMQX_AUTHENTICATION__1__PASSWORD=${DB_PASSWORD}
EMQX_AUTHENTICATION__1__PASSWORD={{ .password }}
EMQX_AUTHENTICATION__1__PASSWORD=<path:secret/data/emqx#password>
EMQX_AUTHENTICATION__1__PASSWORD=********
EMQX_AUTHENTICATION__1__PASSWORD=ENC[AES256_GCM,data:xyz]
EMQX_AUTHENTICATION__1__PASSWORD=ref+vault://secret/emqx#password
EMQX_AUTHENTICATION__1__PASSWORD=vault:secret/data/emqx#password
EMQX_LISTENERS__TCP__DEFAULT__AUTHENTICATION=[{backend = http, body = {password = "${password}"}, url = "http://auth/check"}]
EMQX_LISTENERS__SSL__DEFAULT__SSL_OPTIONS__KEYFILE=/etc/certs/tls.key
EMQX_LISTENERS__SSL__DEFAULT__SSL_OPTIONS__PASSWORD=
EMQX_LISTENERS__SSL__DEFAULT__SSL_OPTIONS={keyfile = "/etc/tls.key", certfile = "/etc/tls.crt", password = ""}
EMQX_DASHBOARD__DEFAULT_USERNAME=admin
EMQX_DASHBOARD__DEFAULT_PASSWORD=file:///run/secrets/dashboard
EMQX_DASHBOARD__DEFAULT_PASSWORD="file:///run/secrets/dashboard"
EMQX_DASHBOARD__TOKEN_EXPIRED_TIME=60m
EMQX_DASHBOARD__PASSWORD_EXPIRED_TIME=90d
EMQX_DASHBOARD__SSO__SAML__SP_PRIVATE_KEY=/etc/saml/sp.key
EMQX_API_KEY__BOOTSTRAP_FILE=/opt/emqx/etc/api-keys.conf
EMQX_LICENSE__KEY=evaluation
EMQX_LICENSE__KEY=default
EMQX_LICENSE__KEY=file:///mnt/license/emqx.lic
EMQX_LICENSE__FILE=/mnt/emqx.lic
EMQX_NODE__COOKIE=$(COOKIE)
EMQX_NODE__NAME=emqx@$(POD_IP)
EMQX_PSK_AUTHENTICATION__INIT_FILE=data/init.psk
EMQX_CLUSTER__STATIC__SEEDS=emqx@10.0.0.1,emqx@10.0.0.2
EMQX_CLUSTER__STATIC__SEEDS=["emqx@a.example","emqx@b.example"]
EMQX_CLUSTER__K8S__APISERVER=https://kubernetes.default.svc:443
EMQX_RULE_ENGINE__RULES__A__SQL=SELECT payload.token as token, payload.password as p FROM "t/#"
EMQX_FILE_TRANSFER__STORAGE__LOCAL__EXPORTER__S3__ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE
EMQX_AUTH__HTTP__AUTH_REQ__PARAMS=clientid=%c,username=%u,password=%P
EMQX_AUTH__MYSQL__PASSWORD_HASH=sha256
EMQX_AUTH__MYSQL__AUTH_QUERY=select password from mqtt_user where username = '%u' limit 1
EMQX_AUTH__MONGO__AUTH_QUERY__PASSWORD_FIELD=password
EMQX_AUTH__LDAP__PASSWORD__ATTRIBUTETYPE=userPassword
EMQX_AUTH__REDIS__AUTH_CMD=HMGET mqtt_user:%u password
EMQX_LISTENER__SSL__EXTERNAL__PSK_CIPHERS=PSK-AES128-CBC-SHA
EMQX_ADMIN_PASSWORD_FILE=/run/secrets/admin
POSTGRES_PASSWORD_FILE=/run/secrets/postgres
VAULT_TOKEN_FILE=/var/run/secrets/token
AWS_WEB_IDENTITY_TOKEN_FILE=/var/run/secrets/eks.amazonaws.com/serviceaccount/token
TOKEN=/var/run/secrets/token
SSH_PRIVATE_KEY=~/.ssh/id_ed25519
TLS_PRIVATE_KEY=certs/tls.key
COOKIE_SECRET_NAME=emqx-cookie
TLS_SECRET=emqx-tls
ALLOW_EMPTY_PASSWORD=yes
MYSQL_RANDOM_ROOT_PASSWORD=yes
MAX_TOKEN=4096
KAFKA_API_KEY=$(KEY)
OTEL_EXPORTER_OTLP_ENDPOINT=http://otel-collector:4317
OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer $(TOKEN)
HTTP_PROXY=http://proxy:3128
DATABASE_URL=postgres://user@db:5432/mqtt
DATABASE_URL=postgres://user:$(PG_PASSWORD)@db:5432/mqtt
DATABASE_URL=postgres://user:${PG_PASSWORD}@db:5432/mqtt
DATABASE_URL=postgres://user:<password>@db/mqtt
GIT_URL=ssh://git@github.com:22/org/repo.git
PACKAGE=https://registry.example/@scope/package
SERVER=http://[::1]:8080/x@y
NOTE=Basic settings; a Bearer token comes from elsewhere
"""

SECRET = """\
EMQX_DASHBOARD__DEFAULT_PASSWORD=public
EMQX_DASHBOARD__DEFAULT_PASSWORD=12345678
EMQX_DASHBOARD__DEFAULT_PASSWORD="12345678"
EMQX_DASHBOARD__SSO__OIDC__SECRET=hunter2
EMQX_DASHBOARD__SSO__SAML__SP_PRIVATE_KEY=MIIEvQIBADANBgkqhkiG9w0BAQEFAASC
EMQX_NODE_COOKIE=abc
EMQX_node__cookie=emqxsecretcookie
EMQX_LICENSE__KEY=MjIwMTExCjAKMTAKRXZhbHVhdGlvbg==.MEUCIQ
EMQX_AUTHENTICATION__1__PASSWORD=/7/hunter2
EMQX_AUTHENTICATION__1__SECRET=emqxsecret
EMQX_AUTHENTICATION__1={backend = mysql, password = hunter2}
EMQX_AUTHENTICATION=[{backend = mysql, password = "hunter2"}]
EMQX_AUTHENTICATION__1__HEADERS__AUTHORIZATION=Bearer hunter2
EMQX_AUTHENTICATION__1__HEADERS={Authorization: "Bearer hunter2"}
EMQX_CONNECTORS__HTTP__X__HEADERS__X_API_KEY=hunter2
EMQX_CONNECTORS__HTTP__X__HEADERS={"x-auth-token" = hunter2}
EMQX_CONNECTORS__HTTP__X__URL=http://user:hunter2@host/x
EMQX_CONNECTORS__AZURE__X={endpoint = "x", account_key = "AccountKey=hunter2hunter2hunter2"}
EMQX_FILE_TRANSFER__STORAGE__LOCAL__EXPORTER__S3__SECRET_ACCESS_KEY=hunter2
EMQX_STOMP__DEFAULT_USER__PASSCODE=hunter2
EMQX_AUTH__MYSQL__PASSWORD=public
EMQX_MANAGEMENT__DEFAULT_APPLICATION__SECRET=public
EMQX_ADMIN_PASSWORD=hunter2
MYSQL_ROOT_PASSWORD=hunter2
PGPASSWORD=hunter2
REDISCLI_AUTH=hunter2
RELEASE_COOKIE=hunter2
AWS_SECRET_ACCESS_KEY=hunter2
GITHUB_TOKEN=hunter2
HOOK=https://x.example/?t=ghp_abcdefghijklmnopqrstuvwxyz0123
REGISTRY_AUTH=Basic dXNlcjpodW50ZXIy
AUTH_HEADER=Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl
STORAGE=AccountName=a;AccountKey=hunter2hunter2hunter2==
BUS=Endpoint=sb://x/;SharedAccessKeyName=n;SharedAccessKey=hunter2hunter2hunter2=
"""


@pytest.mark.parametrize("entry", HARMLESS.splitlines())
def test_harmless(entry: str) -> None:
    name, _, value = entry.partition("=")
    assert not is_clear(name, value)


@pytest.mark.parametrize("entry", SECRET.splitlines())
def test_secret(entry: str) -> None:
    name, _, value = entry.partition("=")
    assert is_clear(name, value)


@pytest.mark.parametrize("family", keytable.FAMILIES)
def test_every_secret_key_of_a_release(family: str) -> None:
    """And none whose values are durations, numbers or switches: a name with PASSWORD in it is not always one."""
    for line in keytable.table(family).lines:
        pattern, kind, _ = f"{line}\t".split("\t")[:3]
        path, kind = pattern.replace("$index", "1").replace("$name", "default"), kind.partition("=")[0]
        found = is_clear(keytable.variable(path), "Hunter2")
        assert found or not is_secret(path, kind), path
        assert not found or "string" in kind or kind in ("secret", "any"), path
