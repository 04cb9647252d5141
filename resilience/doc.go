// Package resilience makes a lifecycle's start persistent, and patient: Retry tries
// again inside an attempt, with exponential backoff and jitter
// (github.com/cenkalti/backoff); Breaker stops trying for a while after many attempts
// have failed (github.com/sony/gobreaker).
//
//	l := fsm.New(open,
//		fsm.WithStartTimeout(time.Minute), // bounds an attempt, with all its tries
//		fsm.WithRetry(resilience.NewRetry(resilience.RetryConfig{Temporary: temporary})),
//		fsm.WithBreaker(resilience.NewBreaker(resilience.BreakerConfig{})))
//
// Neither changes what a lifecycle promises: what a try held is given back before the
// next one (G4), Stop, Shutdown and the end of a caller's context never wait for a
// pause or a cool-down (G6, G8). Neither has a goroutine or a timer of its own.
//
// Use Retry where a start may meet what passes by itself within seconds: a broker that
// restarts, a name that is not there yet. Use Breaker where many ask for a resource that
// may be away for long, so that they learn at once that it is, and it is not besieged
// when it comes back. A Kafka producer takes both in its producer.Config.
package resilience
