package testbroker

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// A request that is held back ends its connection, and reaches the broker when it is let through, whole.
func TestLossyHoldsBack(t *testing.T) {
	came := make(chan string, 10)
	address := Listen(t, func(c net.Conn) {
		defer c.Close()
		size := make([]byte, 4)
		for {
			if _, err := io.ReadFull(c, size); err != nil {
				return
			}
			body := make([]byte, binary.BigEndian.Uint32(size))
			if _, err := io.ReadFull(c, body); err != nil {
				return
			}
			came <- string(body[4:])
			c.Write(append(size, body...))
		}
	})
	n := NewLossy(&Broker{}, nil)
	request := func(key kmsg.Key, body string) error {
		c, err := n.Dial(context.Background(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		head := binary.BigEndian.AppendUint32(nil, uint32(4+len(body)))
		head = binary.BigEndian.AppendUint32(head, uint32(key.Int16())<<16)
		for _, part := range []string{string(head), body} {
			if _, err := c.Write([]byte(part)); err != nil {
				t.Fatal(err)
			}
		}
		_, err = io.ReadFull(c, make([]byte, 8+len(body)))
		return err
	}
	n.Holds.Store(1000)
	if err := request(kmsg.Metadata, "metadata"); err != nil || <-came != "metadata" {
		t.Error(err)
	}
	if err := request(kmsg.Produce, "held"); err == nil || n.Held.Load() != 1 || len(came) > 0 {
		t.Errorf("%v: %d are held back, %d have come", err, n.Held.Load(), len(came))
	}
	n.Calm()
	if err := request(kmsg.Produce, "behind it"); err != nil || <-came != "behind it" {
		t.Error(err)
	}
	if answered, gone := n.LetThrough(0); answered+gone > 0 || len(came) > 0 {
		t.Errorf("%d and %d, none was to be let through", answered, gone)
	}
	if answered, gone := n.LetThrough(100); answered != 1 || gone != 0 || <-came != "held" {
		t.Errorf("%d were answered, %d not", answered, gone)
	}
	if answered, gone := n.LetThrough(100); answered+gone > 0 {
		t.Errorf("%d and %d, it was let through before", answered, gone)
	}
}
