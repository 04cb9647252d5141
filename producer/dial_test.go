package producer

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// A Config.Dial that panics, ends its goroutine or returns nothing at all fails the attempt that it
// breaks, with the panic's value and stack. Nothing is left of it, the next start works (G4), and
// while the producer runs a write waits for a better connection.
func TestG4DialBreaks(t *testing.T) {
	for name, dial := range map[string]func() (net.Conn, error){
		"panics":                func() (net.Conn, error) { panic("boom") },
		"panics with nil":       func() (net.Conn, error) { panic(nil) },
		"exits":                 func() (net.Conn, error) { runtime.Goexit(); return nil, nil },
		"returns nothing":       func() (net.Conn, error) { return nil, nil },
		"returns a nil pointer": func() (net.Conn, error) { return (*net.TCPConn)(nil), nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := testbroker.Virtual(t, kfake.SeedTopics(1, "t"))
				var dials, breaks atomic.Int32 // breaks: from this dial on; 0: none
				p := newProducer(t, b, Config{Topic: "t", Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
					if n := dials.Add(1); breaks.Load() > 0 && n >= breaks.Load() {
						return dial()
					}
					return b.Dial(ctx, network, address)
				}})
				for from, part := range map[int32]string{1: "metadata", 2: "leaders", 3: "leaders"} {
					dials.Store(0)
					breaks.Store(from)
					began := time.Now()
					err := p.Start(bg)
					var failed *fsm.StartError
					if !errors.As(err, &failed) || failed.Part != part || !strings.Contains(err.Error(), "Dial") {
						t.Errorf("dial %d: Start: %v; want it to fail at the part %s, because of Dial", from, err, part)
					}
					var panicked *fsm.PanicError
					if is := errors.As(err, &panicked); is != strings.HasPrefix(name, "panics") || is && !strings.Contains(string(panicked.Stack), "dial_test.go") {
						t.Errorf("dial %d: Start: %v; want the panic, and where it was", from, err)
					}
					if took := time.Since(began); took > time.Second {
						t.Errorf("dial %d: the Start took %v", from, took)
					}
					nothingLeft(t, b, p)
				}
				breaks.Store(0)
				start(t, p)
				breaks.Store(1)
				b.Net.Cut()
				write := async(func() error { return p.WriteMessages(bg, message("m")) })
				time.Sleep(5 * time.Second)
				if n := p.Counters().ConnectFailures; n < 10 {
					t.Errorf("%d dials have broken meanwhile", n)
				}
				breaks.Store(0)
				if err := get(t, write); err != nil {
					t.Errorf("a write that met a Dial that %s, for a moment: %v", name, err)
				}
				if err := p.Close(); err != nil {
					t.Error(err)
				}
				nothingLeft(t, b, p)
			})
		})
	}
}

// A connection of Config.Dial whose methods panic, or end their goroutine, is a connection that ends:
// the program goes on, and so does the producer. What a Write that panics has written is not known.
func TestG4ConnectionBreaks(t *testing.T) {
	for name, broken := range map[string]*brokenConn{
		"Read panics":            {read: func() { panic("boom") }},
		"Read exits":             {read: runtime.Goexit},
		"Write panics":           {write: func() { panic("boom") }},
		"Read and Close panic":   {read: func() { panic("boom") }, close: func() { panic("boom") }},
		"Write and Close panic":  {write: func() { panic("boom") }, close: func() { panic("boom") }},
		"Write panics after all": {wrote: func() { panic("boom") }},
		"Read and Close exit":    {read: runtime.Goexit, close: runtime.Goexit},
		"Write exits":            {write: runtime.Goexit},
		"Write and Close exit":   {write: runtime.Goexit, close: runtime.Goexit},
		"Write exits after all":  {wrote: runtime.Goexit},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := testbroker.Virtual(t, kfake.SeedTopics(1, "t"))
				var on atomic.Bool
				p := newProducer(t, b, Config{Topic: "t", Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
					c, err := b.Dial(ctx, network, address)
					return &brokenConn{c, &on, broken.read, broken.write, broken.wrote, broken.close}, err
				}})
				on.Store(true)
				err := p.Start(bg)
				var panicked *fsm.PanicError
				if is := errors.As(err, &panicked); err == nil || is == strings.Contains(name, "exit") || !strings.Contains(err.Error(), "Dial") {
					t.Errorf("Start: %v; want an error that names Dial, with the panic", err)
				}
				nothingLeft(t, b, p)
				on.Store(false)
				start(t, p)
				l := newLedger()
				for i := range 5 {
					on.Store(true)
					write := async(func() error { return l.write(bg, t, p, message(fmt.Sprint(i))) })
					time.Sleep(time.Second)
					on.Store(false)
					if err := get(t, write); err != nil {
						t.Errorf("a write that met a connection whose %s: %v", name, err)
					}
				}
				if err := p.Stop(bg); err != nil {
					t.Error(err)
				}
				if c := l.verify(t, b, "t"); c.acked != 5 || c.duplicates != 0 {
					t.Error(c)
				}
			})
		})
	}
}

// A brokenConn calls functions while on is set.
type brokenConn struct {
	net.Conn
	on                        *atomic.Bool
	read, write, wrote, close func()
}

func (c *brokenConn) call(f func()) {
	if c.on.Load() && f != nil {
		f()
	}
}

func (c *brokenConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.call(c.read)
	return n, err
}

func (c *brokenConn) Write(b []byte) (int, error) {
	c.call(c.write)
	n, err := c.Conn.Write(b)
	c.call(c.wrote)
	return n, err
}

func (c *brokenConn) Close() error {
	err := c.Conn.Close()
	c.call(c.close)
	return err
}

// A connection of Config.Dial whose Write writes all of a request, and then returns an error, leaves
// open what became of the message: it is never ErrNotSent (D2), and in the log once.
func TestD2WriteThatFailsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t, kfake.SeedTopics(1, "t"))
		var after atomic.Pointer[string]
		p := newProducer(t, b, Config{Topic: "t", MaxAttempts: 1, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := b.Dial(ctx, network, address)
			return &lateError{c, &after}, err
		}})
		start(t, p)
		l := newLedger()
		for _, value := range []string{"small", strings.Repeat("large", 50_000)} {
			after.Store(&value)
			err := l.write(bg, t, p, message(value))
			mustBe(t, err, ErrMaybeDelivered, errLate)
			after.Store(nil)
			if err := l.write(bg, t, p, message("after "+value[:5])); err != nil {
				t.Error(err)
			}
		}
		if err := p.Stop(bg); err != nil {
			t.Error(err)
		}
		if c := l.verify(t, b, "t"); c.duplicates != 0 || c.acked != 2 {
			t.Error(c)
		}
	})
}

// A lateError is a connection whose Write fails after it has written all, if that contains something.
type lateError struct {
	net.Conn
	after *atomic.Pointer[string]
}

var errLate = errors.New("late")

func (c *lateError) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if after := c.after.Load(); err == nil && after != nil && bytes.Contains(b, []byte(*after)) {
		err = errLate
	}
	return n, err
}

// A Config.Dial may return a *tls.Conn, whose Close waits up to 5 s for a peer that does not read.
// That holds up neither a forced Stop, nor the start after it (D7).
func TestD7ForcedStopClosesTLSAtOnce(t *testing.T) {
	server, roots := testbroker.Certificate(t)
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t, kfake.SeedTopics(1, "t"), kfake.TLS(server))
		var full atomic.Bool
		p := newProducer(t, b, Config{Topic: "t", Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := b.Dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			secure := tls.Client(newStuck(c, &full), &tls.Config{RootCAs: roots, ServerName: "localhost"})
			return secure, secure.HandshakeContext(ctx)
		}})
		for range 3 {
			start(t, p)
			if err := p.WriteMessages(bg, message("before")); err != nil {
				t.Error(err)
			}
			hung := b.Hang(kmsg.Produce)
			d := send(t, p, message("cut"))
			time.Sleep(time.Second)
			full.Store(true)
			began := time.Now()
			var stopErr *StopError
			if err := p.Stop(endedContext()); !errors.As(err, &stopErr) || stopErr.Maybe != 1 {
				t.Errorf("a forced Stop: %v", err)
			}
			if took := time.Since(began); took > 50*time.Millisecond {
				t.Errorf("D7: a forced Stop took %v", took)
			}
			if _, err := p.Wait(bg, fsm.Idle); err != nil || time.Since(began) > 50*time.Millisecond {
				t.Errorf("idle after %v: %v", time.Since(began), err)
			}
			mustBe(t, outcome(t, d), ErrMaybeDelivered)
			full.Store(false)
			hung.Set(false)
		}
	})
}

// A stuck connection takes no more bytes once it is full, as one whose peer does not read.
type stuck struct {
	net.Conn
	hole net.Conn
	full *atomic.Bool
}

func newStuck(c net.Conn, full *atomic.Bool) net.Conn {
	hole, _ := net.Pipe()
	return &stuck{c, hole, full}
}

func (c *stuck) Write(b []byte) (int, error) {
	if c.full.Load() {
		return c.hole.Write(b)
	}
	return c.Conn.Write(b)
}

func (c *stuck) SetDeadline(t time.Time) error {
	return errors.Join(c.hole.SetDeadline(t), c.Conn.SetDeadline(t))
}

func (c *stuck) SetWriteDeadline(t time.Time) error {
	return errors.Join(c.hole.SetWriteDeadline(t), c.Conn.SetWriteDeadline(t))
}

func (c *stuck) Close() error { return errors.Join(c.hole.Close(), c.Conn.Close()) }

// With AcksNone too, a Write that panics or exits has handed over nothing for certain (D2).
func TestD2WriteBreaksWithoutAcks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t, kfake.SeedTopics(1, "t"))
		var on atomic.Bool
		var broken func()
		p := newProducer(t, b, Config{Topic: "t", Acks: AcksNone, MaxAttempts: 1, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := b.Dial(ctx, network, address)
			return &brokenConn{Conn: c, on: &on, write: func() { broken() }}, err
		}})
		start(t, p)
		for how, f := range map[string]func(){"panics": func() { panic("boom") }, "exits": runtime.Goexit} {
			broken = f
			on.Store(true)
			err := p.WriteMessages(bg, message("x"))
			if err == nil || !strings.Contains(err.Error(), "Dial") {
				t.Errorf("Write %s: %v; want an error that names Dial", how, err)
			} else {
				mustBe(t, err, ErrMaybeDelivered)
			}
			on.Store(false)
			if err := p.WriteMessages(bg, message("y")); err != nil {
				t.Error(err)
			}
		}
		if err := p.Stop(bg); err != nil {
			t.Error(err)
		}
	})
}

// A start ends, with an error that names Dial, if a Write of a connection that is being made calls
// runtime.Goexit (G12).
func TestG12WriteExits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t, kfake.SeedTopics(1, "t"))
		for nth := range int32(2) {
			var n atomic.Int32
			p := newProducer(t, b, Config{Topic: "t", Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
				c, err := b.Dial(ctx, network, address)
				on := new(atomic.Bool)
				on.Store(true)
				return &brokenConn{Conn: c, on: on, write: func() {
					if n.Add(1) == nth+1 {
						runtime.Goexit()
					}
				}}, err
			}})
			began := time.Now()
			if err := p.Start(bg); err == nil || !strings.Contains(err.Error(), "Dial") {
				t.Errorf("Write %d exits: %v", nth, err)
			}
			if took := time.Since(began); took > time.Minute {
				t.Errorf("Write %d exits: Start took %v", nth, took)
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
			nothingLeft(t, b, p)
		}
	})
}
