// Package producer is a Kafka producer that starts once, says honestly whether it
// did, sends, drains and stops, and leaves nothing behind. It is
// github.com/segmentio/kafka-go's Writer behind an [fsm.Lifecycle].
//
// A *kafka.Writer connects on its first write, cannot tell whether it could, waits
// without bound when it is closed, and leaves its connections open. A Producer
//
//   - starts when told to, once however many ask (G1 SingleFlight), and returns nil
//     only if it can send: brokers reached, credentials accepted, topics there,
//     leaders connected (G3 StartedIsOpen). The first write dials nothing;
//   - gives everything back if it could not start, and can be started again
//     (G4 Rollback); a caller that gives up takes nobody with it
//     (G6 NoForeignCancellation);
//   - drains when it is stopped, every message that was accepted, also those whose
//     callers have left (G9 DrainFirst); when the stopper's patience ends it cuts
//     the connections and says how many messages that cost;
//   - leaves no connection and no goroutine (G7 NoLeak), and can be started again
//     unless it was closed (G11 CloseIsFinal);
//   - says of every message that failed what became of it: ErrNotSent,
//     ErrMaybeDelivered or ErrRejected, exactly one.
//
// # Delivery
//
// At least once: kafka-go has no idempotent produce. A batch whose acknowledgement
// was lost is sent again, and may be in the log twice. Within a partition a
// message is not sent before the ones that were accepted earlier have their
// results, so the order of a key whose writes follow each other is kept.
//
// WriteMessages waits for the results, as a *kafka.Writer does. Send does not: its
// Delivery tells them later. Both wait for room while Config.MaxInFlightBytes are
// in flight.
//
// Package health has handlers for liveness and readiness; docs/migrating.md leads
// from a *kafka.Writer here.
//
// # When not to use it
//
// For transactions or exactly-once produce use franz-go; it can be the resource
// of an fsm.Lifecycle as well. For a program that may lose messages and never
// stops, a bare kafka.Writer is enough.
package producer
