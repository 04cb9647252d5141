package testbroker

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// echo answers everything with itself.
func echo(t *testing.T) (address string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(c, c)
			}()
		}
	}()
	return ln.Addr().String()
}

func dial(t *testing.T, p *Proxy, address string) net.Conn {
	t.Helper()
	c, err := p.Dial(context.Background(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// asks sends b and reads the answer.
func asks(t *testing.T, c net.Conn, b []byte) (took time.Duration, err error) {
	t.Helper()
	began := time.Now()
	if _, err := c.Write(b); err != nil {
		return 0, err
	}
	got := make([]byte, len(b))
	if _, err := io.ReadFull(c, got); err != nil {
		return time.Since(began), err
	}
	if !bytes.Equal(got, b) {
		t.Errorf("sent %q, got %q", b, got)
	}
	return time.Since(began), nil
}

// What the tests on Apache Kafka rely on: each fault of the proxy is one.
func TestProxy(t *testing.T) {
	p, address := NewProxy(t), echo(t)
	c := dial(t, p, address)
	if _, err := asks(t, c, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	p.Latency(30 * time.Millisecond)
	if took, err := asks(t, c, []byte("late")); err != nil || took < 60*time.Millisecond {
		t.Errorf("with 30 ms each way an answer took %v: %v", took, err)
	}
	p.Latency(0)
	p.Drip(1000)
	if took, err := asks(t, c, make([]byte, 100)); err != nil || took < 100*time.Millisecond {
		t.Errorf("at 1,000 bytes a second the answer to 100 took %v: %v", took, err)
	}
	p.Drip(0)

	p.CutAfter(3)
	if _, err := asks(t, c, []byte("only three")); err == nil {
		t.Error("the connection was not cut")
	}
	if n := p.Cuts(); n != 1 {
		t.Errorf("%d cuts, want 1", n)
	}
	c = dial(t, p, address)
	if _, err := asks(t, c, []byte("the next one is whole")); err != nil {
		t.Error(err)
	}
	p.Cut()
	if _, err := asks(t, c, []byte("cut")); err == nil {
		t.Error("the connection was not cut")
	}

	c = dial(t, p, address)
	p.HalfOpen(true)
	c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := asks(t, c, []byte("swallowed")); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("half open: %v, want no answer", err)
	}
	p.HalfOpen(false)
	c.SetReadDeadline(time.Time{})
	if _, err := asks(t, c, []byte("x")); err == nil {
		t.Error("what has swallowed was not cut")
	}
	c = dial(t, p, address)
	if _, err := asks(t, c, []byte("good again")); err != nil {
		t.Error(err)
	}
}
