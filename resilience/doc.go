// Package resilience has a backoff and a circuit breaker for starts. Retry calls open again
// after a failure, within the same attempt, with exponential backoff and jitter
// (github.com/cenkalti/backoff). Each call of open is a try. Breaker refuses attempts for a
// while after many have failed (github.com/sony/gobreaker).
//
//	l := fsm.New(open,
//		fsm.WithStartTimeout(time.Minute), // bounds an attempt, with all its tries
//		fsm.WithRetry(resilience.NewRetry(resilience.RetryConfig{Temporary: temporary})),
//		fsm.WithBreaker(resilience.NewBreaker(resilience.BreakerConfig{})))
//
// The guarantees of a lifecycle hold with both: a failed try releases its parts before the
// next one (G4), and a pause or a cool-down never delays a Stop, a Shutdown or a caller whose
// context ends (G8, G12). Neither has a goroutine or a timer of its own.
//
// Use Retry for failures that pass within seconds: a broker that restarts, a name that does
// not resolve yet. Use Breaker for a resource that many callers start and that may be down
// for a long time: callers fail at once, and the resource is not overloaded when it is back. A
// Kafka producer accepts both in its producer.Config.
package resilience
