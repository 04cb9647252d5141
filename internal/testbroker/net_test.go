package testbroker

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// A removed node does not answer: its connections break, and its port is closed.
func TestRemovedNodeIsGone(t *testing.T) {
	EachCluster(t, 2, func(t *testing.T, b *Broker) {
		dial := b.Dial
		if dial == nil {
			dial = new(net.Dialer).DialContext
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var conns []net.Conn
		for _, address := range b.Addrs {
			c, err := dial(ctx, "tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := askVersions(c); err != nil {
				t.Fatal(err)
			}
			conns = append(conns, c)
		}
		if err := b.Fake.RemoveNode(0); err != nil {
			t.Fatal(err)
		}
		if err := askVersions(conns[0]); err == nil {
			t.Error("a node that was removed answers on a connection from before")
		}
		if err := askVersions(conns[1]); err != nil {
			t.Errorf("the other node: %v", err)
		}
		if c, err := dial(ctx, "tcp", b.Addrs[0]); err == nil {
			c.Close()
			t.Error("a node that was removed accepts a connection")
		}
	})
}

// askVersions asks for the API versions, version 0.
func askVersions(c net.Conn) error {
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Write([]byte{0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff}); err != nil {
		return err
	}
	size := make([]byte, 4)
	if _, err := io.ReadFull(c, size); err != nil {
		return err
	}
	n, err := io.CopyN(io.Discard, c, int64(size[2])<<8|int64(size[3]))
	if err == nil && n == 0 {
		err = errors.New("an empty answer")
	}
	return err
}
