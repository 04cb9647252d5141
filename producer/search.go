package producer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/segmentio/kafka-go"
)

// A search is that of a Start for an address in Config.Brokers at which a broker answers.
// kafka-go takes the first that accepts a connection, and fails if nothing good comes over
// it, though another address would do. So an address that was no good is refused when
// kafka-go dials it again: it then takes the next.
type search struct {
	mu    sync.Mutex
	on    bool
	tried map[string]error // the addresses that are no good, and why
	more  bool             // there is one more since the last look
}

// set begins the search, or ends it.
func (s *search) set(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.on = on; s.tried == nil {
		s.tried = make(map[string]error)
	}
}

// known returns why an address is no good.
func (s *search) known(address string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.on {
		return nil
	}
	return s.tried[address]
}

// noGood notes why an address is none: there is no connection to it, or the connection
// failed. kafka-go may dial while it fails, so the latest address need not be the one.
func (s *search) noGood(address string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.on && s.tried[address] == nil {
		s.tried[address], s.more = err, true
	}
}

// goOn reports whether there is a point in another look: an address turned out to be no
// good since the last one, and there is one that did not.
func (s *search) goOn(addresses []string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	more := s.more
	s.more = false
	return more && slices.ContainsFunc(addresses, func(a string) bool { return s.tried[a] == nil })
}

// result is why there is no broker: the reason of each address, if there are several, or
// what failed else.
func (s *search) result(err error, addresses []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all addressErrors
	for i, a := range addresses {
		switch why := s.tried[a]; {
		case why == nil:
			return err
		case !slices.Contains(addresses[:i], a):
			all = append(all, fmt.Errorf("%s: %w", a, why))
		}
	}
	if len(all) == 1 {
		return err
	}
	return all
}

// firstAnswer asks the addresses in Config.Brokers, one after the other, until a broker
// answers.
func (s *session) firstAnswer(ctx context.Context, req kafka.Request) (kafka.Response, error) {
	d := s.dialer
	d.set(true)
	defer d.set(false)
	for {
		res, err := s.transport.RoundTrip(ctx, s.addr, req)
		var refused kafka.Error // by a broker: another of the same cluster would say the same
		if err == nil || ctx.Err() != nil || errors.As(err, &refused) {
			return res, err
		}
		if !d.goOn(s.cfg.Brokers) {
			return nil, d.result(err, s.cfg.Brokers)
		}
		s.renewTransport()
	}
}

// renewTransport forgets what the Transport has learnt: it would repeat that for seconds.
func (s *session) renewTransport() {
	s.transport.CloseIdleConnections()
	s.transport = s.newTransport(s.known())
}
