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
type within struct{ goroutines sync.Map }

var errWithin = fmt.Errorf("producer: called by a function of its Config: %w", fsm.ErrReentrant)

// enter marks this goroutine until leave. It returns errWithin, and a leave that does nothing, if
// the goroutine is marked already.
func (w *within) enter() (leave func(), err error) {
	n := goroutine.Number()
	if _, inside := w.goroutines.LoadOrStore(n, nil); inside {
		return func() {}, errWithin
	}
	return func() { w.goroutines.Delete(n) }, nil
}

// mark is enter for a function that may run in another one.
func (w *within) mark() (leave func()) {
	leave, _ = w.enter()
	return leave
}

// refuse returns errWithin in a function of Config.
func (w *within) refuse() error {
	if _, inside := w.goroutines.Load(goroutine.Number()); inside {
		return errWithin
	}
	return nil
}

// balancing is enter for a call that uses a balancer. To mark a goroutine takes microseconds, so the
// balancers of kafka-go, which do not call the producer, do without.
func (w *within) balancing(b kafka.Balancer) (leave func(), err error) {
	switch b.(type) {
	case nil, *kafka.RoundRobin, *kafka.LeastBytes, *kafka.Hash, *kafka.ReferenceHash,
		kafka.CRC32Balancer, *kafka.CRC32Balancer, kafka.Murmur2Balancer, *kafka.Murmur2Balancer:
		return func() {}, nil
	}
	return w.enter()
}
