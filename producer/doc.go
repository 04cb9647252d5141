// Package producer is a Kafka producer. However many goroutines call Start, it connects once. It
// puts each message into the log at most once and in order, reports its verdict, and stops without
// leaving anything open. Its own engine uses the wire protocol code of
// github.com/segmentio/kafka-go. An [fsm.Lifecycle] starts and stops the engine.
//
//	p, err := producer.New(producer.Config{Brokers: []string{"localhost:9092"}, Topic: "orders"})
//	defer p.Close()
//	err = p.Start(ctx)
//	err = p.WriteMessages(ctx, kafka.Message{Key: key, Value: value})
//
// A *kafka.Writer connects on its first write, and only then reports that it cannot reach a
// broker. It may send a message twice when an answer is lost, its Close may take any length of
// time, and it leaves connections open. A Producer, by contrast,
//
//   - starts once, however many callers call Start (G1 SingleFlight). Start returns nil only if
//     a broker accepted the credentials, the declared topics (Config.Topic, Config.Topics) exist,
//     and their leaders are connected (G3 StartedIsOpen; with AllowPartial, some of the leaders).
//     A write to a declared topic then opens no connection;
//   - releases everything if it could not start, and can be started again (G4 Rollback). A
//     caller that gives up cancels nothing for the others (G6 NoForeignCancellation);
//   - drains when it is stopped: every admitted message gets its verdict (G9 DrainFirst). It
//     cuts the connections when a Shutdown's context ends, or when a Stop's context ends and no
//     other Stop waits. It counts the messages that it cut off, by verdict;
//   - leaves no connection and no goroutine (G7 NoLeak), and can be started again unless it
//     was closed (G11 CloseIsFinal).
//
// # Delivery
//
// A message is admitted when its call puts it into the queue of its partition. It then gets
// exactly one verdict (D1 OneVerdict), which never changes and is true (D2 Truth): delivered,
// or one of
//
//   - ErrNotSent: it is not in the log and never will be, and the last answer of a broker, if any,
//     did not refuse it;
//   - ErrRejected: it is not in the log and never will be; a broker's last answer refused it, or
//     it breaks a limit that a broker would enforce;
//   - ErrMaybeDelivered: the producer had started to write a request with it, and no answer
//     says whether it is in the log.
//
// By default (AcksAll, IdempotenceAuto) the producer is idempotent. A message is in the log at
// most once (D3 Once). A partition has the messages of one Producer in the order of their
// admission (D4 Order). This holds when answers are lost, and when requests are cut off, throttled
// or sent again. It holds even after an ErrMaybeDelivered, and across a forced stop and the next
// start. The messages that one call puts into a partition are contiguous there. A message that
// the caller sends again is another message.
//
// A message that cannot have reached the log is withdrawn when its caller leaves, its
// DeliveryTimeout passes, or a stop is forced. It never reaches the log afterwards (D5 Withdrawn).
// Every message has its verdict by the DeliveryTimeout (D6 Deadline).
//
// WriteMessages waits for the verdicts, as a *kafka.Writer does. Send does not wait: its Delivery
// reports them later. Both wait for room while Config.MaxInFlightBytes are in flight.
//
// # What is not promised
//
// The promises of delivery rest on three conditions:
//
//   - no partition elects a leader that lacks acknowledged messages (unclean election);
//   - an in-sync replica keeps the messages that it acknowledged. With min.insync.replicas of 1, a
//     message that only one replica has acknowledged is lost with that replica;
//   - the brokers remember a producer for longer than the DeliveryTimeout
//     (producer.id.expiration.ms).
//
// If one of the first two fails, a delivered message may be missing from the log. If the third
// fails, a message may be in the log twice, or out of order.
//
// Retention, compaction, DeleteRecords and the deletion of a topic still remove delivered messages.
// When a broker's answer shows that the log lost acknowledged messages, or that the brokers forgot
// the producer, the producer logs a warning and counts the answer (Counters.LostByCluster).
//
// AcksOne, AcksNone and IdempotenceOff promise neither D3 nor D4: a message may be in the log
// twice, and an older request may be appended after a newer one. With AcksNone, delivered means
// written to the network. There is no order between two Producers. Consumers may process a
// message twice. There are no transactions.
//
// The brokers must be Apache Kafka 2.1 or newer. 2.1.1 and 4.1.0 are tested; other versions and
// other brokers (Redpanda, Azure Event Hubs) are not. Before Kafka 3.0 an idempotent producer
// needs the permission IdempotentWrite on the cluster: see ErrNoIdempotence.
//
// Package health has handlers for liveness and readiness. docs/migrating.md describes how to
// migrate from a *kafka.Writer.
//
// # When not to use it
//
// For transactions use franz-go, which can also be the resource of an fsm.Lifecycle. If lost
// messages are acceptable and the program needs no orderly stop, a kafka.Writer is enough.
package producer
