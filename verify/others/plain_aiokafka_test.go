package others

import (
	"context"
	"testing"
	"testing/synctest"
)

// asyncClient is aiokafka's start() and stop() in a dozen lines: bootstrap and the
// sender's start are awaits, what they open is given back by stop() only, and the pull request adds the flag.
type asyncClient struct {
	flag, started, closed bool
	client, sender        resource
}

func (a *asyncClient) start() (err error) {
	if a.flag && a.started {
		return nil
	}
	a.started = true
	defer func() { a.started = a.started && err == nil }()
	if err := a.client.open(); err != nil {
		return err
	}
	return a.sender.open()
}

func (a *asyncClient) stop() {
	if !a.closed {
		a.closed, a.client.held, a.sender.held = true, 0, 0
	}
}

func aiokafkaOpensTwice(t *testing.T) {
	a := &asyncClient{client: resource{gate: make(chan struct{})}}
	one, two := async(a.start), async(a.start)
	expect(t, a.client.opened == 2, "opened %d times", a.client.opened)
	for range 2 { // one after the other, as asyncio does it
		a.client.gate <- struct{}{}
		synctest.Wait()
	}
	<-one
	<-two
}

func aiokafkaOpensAgain(t *testing.T) {
	a := &asyncClient{}
	a.start()
	a.start()
	expect(t, a.sender.held == 2, "%d senders", a.sender.held)
}

func aiokafkaLeaksTheClient(t *testing.T)   { leaksTheClient(t, false) }
func pr1143LeaksTheClient(t *testing.T)     { leaksTheClient(t, true) }
func aiokafkaOpensForNobody(t *testing.T)   { opensForNobody(t, false) }
func pr1143OpensForNobody(t *testing.T)     { opensForNobody(t, true) }
func aiokafkaComesUpAfterStop(t *testing.T) { comesUpAfterStop(t, false) }
func pr1143ComesUpAfterStop(t *testing.T)   { comesUpAfterStop(t, true) }

// A start that fails after the bootstrap leaves the client open.
func leaksTheClient(t *testing.T, flag bool) {
	a := &asyncClient{flag: flag, sender: resource{fails: errNoBroker}}
	err := a.start()
	expect(t, err != nil && a.client.held == 1, "start: %v, %d clients", err, a.client.held)
}

// start() knows nothing of its caller's end until its first await, which begins to connect.
func opensForNobody(t *testing.T, flag bool) {
	a := &asyncClient{flag: flag}
	start := func(context.Context) error { return a.start() }
	start(ended)
	expect(t, a.client.opened == 1, "opened %d times", a.client.opened)
}

// stop() during start() returns at once, the start comes up, and a second stop() does nothing.
func comesUpAfterStop(t *testing.T, flag bool) {
	a := &asyncClient{flag: flag, client: resource{gate: make(chan struct{})}}
	start := async(a.start)
	a.stop()
	close(a.client.gate)
	err := <-start
	a.stop()
	expect(t, err == nil && a.sender.held == 1, "start: %v, %d senders after stop", err, a.sender.held)
}

// The second start() succeeds while the first bootstraps, which then fails.
func pr1143SucceedsTooEarly(t *testing.T) {
	a := &asyncClient{flag: true, client: resource{gate: make(chan struct{}), fails: errNoBroker}}
	first := async(a.start)
	second := a.start()
	close(a.client.gate)
	err := <-first
	expect(t, err != nil && second == nil, "first: %v, second: %v", err, second)
}
