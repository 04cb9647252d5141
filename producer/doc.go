// Package producer is a Kafka producer that starts once, says honestly whether it
// did, delivers each message once and in order, drains and stops, and leaves nothing
// behind. It is an engine of its own, on the wire protocol of
// github.com/segmentio/kafka-go, behind an [fsm.Lifecycle].
//
// A *kafka.Writer connects on its first write, cannot tell whether it could, sends
// twice what it has no answer for, waits without bound when it is closed, and leaves
// its connections open. A Producer
//
//   - starts when told to, once however many ask (G1 SingleFlight), and returns nil
//     only if it can send: brokers reached, credentials accepted, topics there,
//     leaders connected (G3 StartedIsOpen). A write dials nothing;
//   - gives everything back if it could not start, and can be started again
//     (G4 Rollback); a caller that gives up takes nobody with it
//     (G6 NoForeignCancellation);
//   - drains when it is stopped: every message that was admitted gets its verdict
//     (G9 DrainFirst). When the context of the Stop ends it cuts the connections, and
//     counts the messages that were not sent and those that may have been;
//   - leaves no connection and no goroutine (G7 NoLeak), and can be started again
//     unless it was closed (G11 CloseIsFinal).
//
// # Delivery
//
// A message is admitted when its call takes it into the queue of its partition. Then
// it gets exactly one verdict (D1 OneVerdict), which never changes and is true
// (D2 Truth): it is delivered, or it failed as one of
//
//   - ErrNotSent: it is not in the log and never will be;
//   - ErrRejected: the same, and a broker or a limit refused it last;
//   - ErrMaybeDelivered: a request with it was under way, and no answer says whether
//     it is in the log.
//
// With AcksAll, the default, the producer is idempotent. A message is in the log at
// most once (D3 Once), and a partition has the messages of one Producer in the order
// in which they were admitted (D4 Order): whatever is lost, cut, throttled or sent
// again, after an ErrMaybeDelivered, and across a forced stop and the next start. The
// messages of one call to a partition stand together. What the caller sends again is
// another message.
//
// A message that no request can have carried is withdrawn, and does not come later,
// when its caller leaves, its DeliveryTimeout passes, or a stop is forced
// (D5 Withdrawn). Every message has its verdict by the DeliveryTimeout (D6 Deadline).
//
// WriteMessages waits for the verdicts, as a *kafka.Writer does. Send does not: its
// Delivery tells them later. Both wait for room while Config.MaxInFlightBytes are
// in flight.
//
// # What is not promised
//
// "In the log" is the cluster's word. It holds as long as no partition elects a leader
// that lacks acknowledged messages (unclean election), and a replica in sync keeps what
// it acknowledged, which takes min.insync.replicas of 2 or more; until retention,
// compaction, DeleteRecords or the deletion of a topic takes messages away; and if the
// brokers remember a producer for longer than the DeliveryTimeout
// (producer.id.expiration.ms). When a broker's answer shows that the log has lost
// acknowledged messages a warning is logged, and Counters counts it.
//
// AcksOne, AcksNone and IdempotenceOff promise neither D3 nor D4: a message may be there
// twice, and an old request may land behind a newer one. With AcksNone delivered means
// handed to the network. Two Producers have no order between them. What consumers do is
// theirs: they may process a message twice. There are no transactions.
//
// Brokers of Apache Kafka 2.1 or newer are needed; 2.1.1 and 4.1.0 are tested, other versions and
// other brokers (Redpanda, Azure Event Hubs) are not. Before Kafka 3.0 an idempotent producer
// needs the permission IdempotentWrite on the cluster: see ErrNoIdempotence.
//
// Package health has handlers for liveness and readiness; docs/migrating.md leads
// from a *kafka.Writer here.
//
// # When not to use it
//
// For transactions use franz-go; it can be the resource of an fsm.Lifecycle as well.
// For a program that may lose messages and never stops, a bare kafka.Writer is enough.
package producer
