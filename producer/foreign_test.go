package producer

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// An odd context does something that no context should when one of its methods is called
// for the nth time; one that lies has a nil Err though Done is closed.
type odd struct {
	mu    sync.Mutex
	done  chan struct{}
	nth   int
	calls int
	acted bool
	lies  bool
	act   func()
}

func (c *odd) hit() {
	c.mu.Lock()
	c.calls++
	now := c.calls == c.nth
	c.acted = c.acted || now
	c.mu.Unlock()
	if now {
		c.act()
	}
}

func (c *odd) Deadline() (time.Time, bool) { c.hit(); return time.Time{}, false }
func (c *odd) Done() <-chan struct{}       { c.hit(); return c.done }
func (c *odd) Value(any) any               { c.hit(); return nil }
func (c *odd) Err() error {
	c.hit()
	select {
	case <-c.done:
		if !c.lies {
			return context.Canceled
		}
	default:
	}
	return nil
}

// A caller's context whose methods panic, exit or lie harms only its own call: the process
// lives, no other call gets what belongs to that one, and no room is lost.
func TestForeignContexts(t *testing.T) {
	large := bytes.Repeat([]byte("x"), 6000)
	for name, call := range map[string]func(p *Producer, ctx context.Context) error{
		"WriteMessages": func(p *Producer, ctx context.Context) error {
			return p.WriteMessages(ctx, kafka.Message{Value: []byte("own")})
		},
		"WriteMessages that waits for room": func(p *Producer, ctx context.Context) error {
			return p.WriteMessages(ctx, kafka.Message{Value: large})
		},
		"Send that waits for room": func(p *Producer, ctx context.Context) error {
			d, err := p.Send(ctx, kafka.Message{Value: large})
			if err != nil {
				return err
			}
			return d.Wait(ctx)
		},
		"Wait": func(p *Producer, ctx context.Context) error {
			d, err := p.Send(bg, kafka.Message{Value: []byte("own")})
			if err != nil {
				return err
			}
			return d.Wait(ctx)
		},
		"Flush": func(p *Producer, ctx context.Context) error { return p.Flush(ctx) },
		"Ping":  func(p *Producer, ctx context.Context) error { return p.Ping(ctx) },
	} {
		for how, act := range map[string]func(){"panics": func() { panic("foreign") }, "exits": runtime.Goexit} {
			for _, lies := range []bool{false, true} {
				for nth, acted := 1, true; acted && nth < 50; nth++ {
					t.Run(fmt.Sprintf("%s %s when asked for the %dth time, lies %v", name, how, nth, lies), func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) {
							c := &odd{done: make(chan struct{}), nth: nth, act: act, lies: lies}
							foreignCall(t, c, how == "exits", call)
							c.mu.Lock()
							defer c.mu.Unlock()
							acted = c.acted
						})
					})
					if t.Failed() {
						return
					}
				}
			}
		}
	}
}

func foreignCall(t *testing.T, c *odd, exits bool, call func(p *Producer, ctx context.Context) error) {
	b := testbroker.Virtual(t)
	p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 1), MaxInFlightBytes: 10_000})
	start(t, p)
	hung := b.Hang(kmsg.Produce, kmsg.Metadata)
	before := send(t, p, kafka.Message{Value: bytes.Repeat([]byte("y"), 6000)})
	own := make(chan error, 1)
	go func() {
		err := fmt.Errorf("its goroutine exited")
		defer func() {
			if v := recover(); v != nil {
				err = fmt.Errorf("panic: %v", v)
			}
			own <- err
		}()
		err = call(p, c)
	}()
	time.Sleep(100 * time.Millisecond)
	close(c.done)
	time.Sleep(100 * time.Millisecond)
	others := make(chan error, 8)
	for i := range cap(others) { // calls are reused
		go func() { others <- p.WriteMessages(bg, kafka.Message{Value: fmt.Appendf(nil, "other %d", i)}) }()
	}
	time.Sleep(100 * time.Millisecond)
	hung.Set(false)
	for range cap(others) {
		if err := <-others; err != nil {
			t.Errorf("another call: %v", err)
		}
	}
	if err := outcome(t, before); err != nil {
		t.Error(err)
	}
	time.Sleep(time.Minute) // if nobody has noticed that the context ended, the call ends by its own deadline
	select {
	case err := <-own:
		if err == nil && !exits { // otherwise it may not have noticed the end, and has been done
			t.Error("the call returned nil, and its context had ended before it was done")
		}
	default:
		t.Error("the call does not return")
	}
	if n := p.InFlightBytes(); n != 0 {
		t.Errorf("%d bytes count as in flight", n)
	}
}

// A message whose caller's goroutine ends in a method of its context is withdrawn, and does not wait for a
// broker (D6).
func TestD6CallerThatExits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		told := make(chan error, 1)
		p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 1), Completion: func(_ []kafka.Message, err error) { told <- err }})
		start(t, p)
		b.Net.Kill(0)
		c := &exitsWhenDone{Context: bg, done: make(chan struct{})}
		go func() { p.WriteMessages(c, message("x")) }()
		time.Sleep(time.Second)
		close(c.done)
		time.Sleep(time.Second)
		select {
		case err := <-told:
			mustBe(t, err, ErrNotSent)
		default:
			t.Error("the message has no verdict")
		}
		if n := p.InFlightBytes(); n != 0 {
			t.Errorf("%d bytes count as in flight", n)
		}
		b.Net.Revive(0)
	})
}

// An exitsWhenDone is a context whose Err ends the goroutine once Done is closed.
type exitsWhenDone struct {
	context.Context
	done chan struct{}
}

func (c *exitsWhenDone) Done() <-chan struct{} { return c.done }

func (c *exitsWhenDone) Err() error {
	select {
	case <-c.done:
		runtime.Goexit()
	default:
	}
	return nil
}
