package producer

import (
	"fmt"
	"sync"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/goroutine"
)

// within knows the goroutines that run a function of Config, because most of these functions have
// no context to tell. A call from there that waits for the function to return would wait for itself
// (G15).
type within struct{ goroutines sync.Map } // the number of each, and whether it runs Balancer

var errWithin = fmt.Errorf("producer: called by a function of its Config: %w", fsm.ErrReentrant)

// mark marks this goroutine until leave. A function may run in another one.
func (w *within) mark() (leave func()) {
	n := goroutine.Number()
	if _, inside := w.goroutines.LoadOrStore(n, false); inside {
		return func() {}
	}
	return func() { w.goroutines.Delete(n) }
}

// refuse returns errWithin in a function of Config.
func (w *within) refuse() error {
	if _, inside := w.goroutines.Load(goroutine.Number()); inside {
		return errWithin
	}
	return nil
}

// balancing marks this goroutine until leave, for a call that uses a balancer. It returns errWithin
// if the balancer itself made that call. To mark a goroutine takes microseconds, so the balancers of
// kafka-go, which do not call the producer, do without.
func (w *within) balancing(b kafka.Balancer) (leave func(), err error) {
	switch b.(type) {
	case nil, *kafka.RoundRobin, *kafka.LeastBytes, *kafka.Hash, *kafka.ReferenceHash,
		kafka.CRC32Balancer, *kafka.CRC32Balancer, kafka.Murmur2Balancer, *kafka.Murmur2Balancer:
		return func() {}, nil
	}
	n := goroutine.Number()
	outer, inside := w.goroutines.Swap(n, true)
	switch {
	case !inside:
		return func() { w.goroutines.Delete(n) }, nil
	case outer == true:
		return nil, errWithin
	}
	return func() { w.goroutines.Store(n, outer) }, nil
}
