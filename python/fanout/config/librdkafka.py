"""
The names of librdkafka's properties, and what to write instead of Java's.

The list is held to the installed library by a test, so that a misspelt name is
refused with a suggestion before any client is made.
"""

from __future__ import annotations

__all__ = ["ALIASES", "CODE", "JAVA", "KNOWN", "OWN", "SECRET_WORDS"]

KNOWN = frozenset(
    """
    acks allow.auto.create.topics api.version.fallback.ms api.version.request api.version.request.timeout.ms
    auto.commit.interval.ms auto.offset.reset batch.num.messages batch.size bootstrap.servers broker.address.family
    broker.address.ttl broker.version.fallback check.crcs client.dns.lookup client.id client.rack
    client.software.name client.software.version compression.codec compression.level compression.type
    connections.max.idle.ms coordinator.query.interval.ms debug delivery.report.only.error delivery.timeout.ms
    enable.auto.commit enable.auto.offset.store enable.gapless.guarantee enable.idempotence enable.metrics.push
    enable.partition.eof enable.random.seed enable.sasl.oauthbearer.unsecure.jwt enable.sparse.connections
    enable.ssl.certificate.verification fetch.error.backoff.ms fetch.max.bytes fetch.message.max.bytes
    fetch.min.bytes fetch.queue.backoff.ms fetch.wait.max.ms group.id group.instance.id group.protocol
    group.protocol.type group.remote.assignor heartbeat.interval.ms https.ca.location https.ca.pem
    internal.termination.signal isolation.level linger.ms log.connection.close log.queue log.thread.name log_level
    max.in.flight max.in.flight.requests.per.connection max.partition.fetch.bytes max.poll.interval.ms
    message.copy.max.bytes message.max.bytes message.send.max.retries message.timeout.ms metadata.broker.list
    metadata.max.age.ms metadata.recovery.rebootstrap.trigger.ms metadata.recovery.strategy partitioner
    partition.assignment.strategy plugin.library.paths queue.buffering.backpressure.threshold
    queue.buffering.max.kbytes queue.buffering.max.messages queue.buffering.max.ms queued.max.messages.kbytes
    queued.min.messages receive.message.max.bytes reconnect.backoff.jitter.ms reconnect.backoff.max.ms
    reconnect.backoff.ms request.required.acks request.timeout.ms retries retry.backoff.max.ms retry.backoff.ms
    sasl.kerberos.keytab sasl.kerberos.kinit.cmd sasl.kerberos.min.time.before.relogin sasl.kerberos.principal
    sasl.kerberos.service.name sasl.mechanism sasl.mechanisms sasl.oauthbearer.assertion.algorithm
    sasl.oauthbearer.assertion.claim.aud sasl.oauthbearer.assertion.claim.exp.seconds
    sasl.oauthbearer.assertion.claim.iss sasl.oauthbearer.assertion.claim.jti.include
    sasl.oauthbearer.assertion.claim.nbf.seconds sasl.oauthbearer.assertion.claim.sub
    sasl.oauthbearer.assertion.file sasl.oauthbearer.assertion.jwt.template.file
    sasl.oauthbearer.assertion.private.key.file sasl.oauthbearer.assertion.private.key.passphrase
    sasl.oauthbearer.assertion.private.key.pem sasl.oauthbearer.client.credentials.client.id
    sasl.oauthbearer.client.credentials.client.secret sasl.oauthbearer.client.id sasl.oauthbearer.client.secret
    sasl.oauthbearer.config sasl.oauthbearer.extensions sasl.oauthbearer.grant.type
    sasl.oauthbearer.metadata.authentication.type sasl.oauthbearer.method sasl.oauthbearer.scope
    sasl.oauthbearer.sub.claim.name sasl.oauthbearer.token.endpoint.url sasl.password sasl.username
    security.protocol session.timeout.ms socket.blocking.max.ms socket.connection.setup.timeout.ms
    socket.keepalive.enable socket.max.fails socket.nagle.disable socket.receive.buffer.bytes
    socket.send.buffer.bytes socket.timeout.ms ssl.ca.certificate.stores ssl.ca.location ssl.ca.pem
    ssl.certificate.location ssl.certificate.pem ssl.cipher.suites ssl.crl.location ssl.curves.list
    ssl.endpoint.identification.algorithm ssl.engine.id ssl.engine.location ssl.key.location ssl.key.password
    ssl.key.pem ssl.keystore.location ssl.keystore.password ssl.providers ssl.sigalgs.list statistics.interval.ms
    sticky.partitioning.linger.ms topic.blacklist topic.metadata.propagation.max.ms
    topic.metadata.refresh.fast.interval.ms topic.metadata.refresh.interval.ms topic.metadata.refresh.sparse
    transaction.timeout.ms transactional.id
    """.split()  # noqa: SIM905  one name a line would be four screens
)

OWN = frozenset({"oauth_cb"})
"""Properties that are ours: `tokens` turns them into what the clients take."""

JAVA = {
    "buffer.memory": "queue.buffering.max.kbytes (in KiB)",
    "default.api.timeout.ms": "socket.timeout.ms",
    "fetch.max.wait.ms": "fetch.wait.max.ms",
    "interceptor.classes": "nothing: interceptors are Java classes; remove it",
    "key.deserializer": "nothing: fanout reads keys as bytes; remove it",
    "key.serializer": "nothing: fanout keeps keys as bytes; remove it",
    "max.block.ms": "message.timeout.ms",
    "max.poll.records": "nothing: fanout bounds what is in flight by itself; remove it",
    "max.request.size": "message.max.bytes",
    "metric.reporters": "nothing: reporters are Java classes; remove it",
    "receive.buffer.bytes": "socket.receive.buffer.bytes",
    "sasl.client.callback.handler.class": "nothing: it is a Java class; remove it",
    "sasl.jaas.config": "sasl.mechanisms, sasl.username and sasl.password",
    "sasl.login.callback.handler.class": "oauth_cb, the path of a function of yours that returns a token",
    "sasl.oauthbearer.jwks.endpoint.url": "nothing: brokers check tokens; remove it",
    "security.providers": "nothing: providers are Java classes; remove it",
    "send.buffer.bytes": "socket.send.buffer.bytes",
    "ssl.enabled.protocols": "nothing: TLS 1.2 and 1.3 are negotiated; remove it",
    "ssl.keymanager.algorithm": "nothing: it is a Java setting; remove it",
    "ssl.keystore.certificate.chain": "ssl.certificate.pem",
    "ssl.keystore.key": "ssl.key.pem",
    "ssl.keystore.type": "ssl.certificate.location and ssl.key.location, after exporting both as PEM",
    "ssl.protocol": "nothing: TLS 1.2 and 1.3 are negotiated; remove it",
    "ssl.provider": "nothing: it is a Java setting; remove it",
    "ssl.secure.random.implementation": "nothing: it is a Java setting; remove it",
    "ssl.trustmanager.algorithm": "nothing: it is a Java setting; remove it",
    "ssl.truststore.certificates": "ssl.ca.pem",
    "ssl.truststore.location": "ssl.ca.location, after exporting the certificates as PEM",
    "ssl.truststore.password": "nothing: a PEM file of certificates has no password; remove it",
    "ssl.truststore.type": "ssl.ca.location, after exporting the certificates as PEM",
    "value.deserializer": "nothing: fanout decodes values by the handler's own rule; remove it",
    "value.serializer": "nothing: fanout keeps values as bytes; remove it",
}
"""Java's name, and what librdkafka has for it."""

ALIASES = {
    "compression.codec": "compression.type",
    "delivery.timeout.ms": "message.timeout.ms",
    "fetch.message.max.bytes": "max.partition.fetch.bytes",
    "max.in.flight": "max.in.flight.requests.per.connection",
    "message.send.max.retries": "retries",
    "metadata.broker.list": "bootstrap.servers",
    "queue.buffering.max.ms": "linger.ms",
    "request.required.acks": "acks",
    "sasl.mechanism": "sasl.mechanisms",
}
"""Two names of one property: brought to one, so that a later layer replaces an earlier one under either."""

CODE = {
    "oauth_cb": "imports and calls a Python function",
    "plugin.library.paths": "loads a shared library into this process",
    "sasl.kerberos.kinit.cmd": "runs a shell command",
    "ssl.engine.location": "loads a shared library into this process",
    "ssl.providers": "loads OpenSSL providers into this process",
}
"""Properties that run code: refused unless the configuration file allows them by name."""

SECRET_WORDS = ("password", "secret", "token", "passphrase", "ssl.key.", "jaas", "sasl.oauthbearer.", "private.key")
"""A property whose name holds one of these is never shown."""
