package others

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// asyncClient is aiokafka's start() and stop() in a dozen lines: bootstrap is an
// await, the client is closed by stop() only, and the pull request adds the flag.
type asyncClient struct {
	flag, started, closed bool
	clients, senders      int
	bootstrap, sender     func() error
}

func (a *asyncClient) start() (err error) {
	if a.flag && a.started {
		return nil
	}
	a.started = true
	defer func() { a.started = a.started && err == nil }()
	if err := a.bootstrap(); err != nil {
		return err
	}
	a.clients++
	if err := a.sender(); err != nil {
		return err
	}
	a.senders++
	return nil
}

func (a *asyncClient) stop() {
	if !a.closed {
		a.closed, a.senders, a.clients = true, 0, 0
	}
}

func works() error { return nil }

// aiokafka, both: a start that fails after the bootstrap leaves the client open.
func TestPlainAiokafkaLeaksTheClient(t *testing.T) {
	for _, flag := range []bool{false, true} {
		a := &asyncClient{flag: flag, bootstrap: works, sender: func() error { return errors.New("no broker") }}
		if err := a.start(); err == nil || a.clients != 1 {
			t.Errorf("start: %v, %d clients; the defect is gone", err, a.clients)
		}
	}
}

// aiokafka, both: stop() during start() returns at once, the start comes up, and a second stop() does nothing.
func TestPlainAiokafkaComesUpAfterStop(t *testing.T) {
	for _, flag := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			gate := make(chan struct{})
			a := &asyncClient{flag: flag, sender: works, bootstrap: func() error { <-gate; return nil }}
			done := make(chan error)
			go func() { done <- a.start() }()
			synctest.Wait()
			a.stop()
			close(gate)
			err := <-done
			if a.stop(); err != nil || a.senders != 1 {
				t.Errorf("start: %v, %d senders after stop; the defect is gone", err, a.senders)
			}
		})
	}
}

// The pull request: the second start() succeeds while the first bootstraps, which then fails.
func TestPlainPR1143SucceedsTooEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, fail := context.WithCancel(context.Background())
		a := &asyncClient{flag: true, sender: works, bootstrap: func() error { <-ctx.Done(); return ctx.Err() }}
		first := make(chan error)
		go func() { first <- a.start() }()
		synctest.Wait()
		second := a.start()
		fail()
		if err := <-first; err == nil || second != nil {
			t.Errorf("first: %v, second: %v; the defect is gone", err, second)
		}
	})
}
