//go:build unix

package producer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// The broker is killed at each part of a start, just before the request that the
// part makes: the start fails there, leaves nothing, and works once it is back.
func killedDuringStart(t *testing.T, b *testbroker.OwnBroker) {
	topic := b.CreateTopic(t, 1)
	for _, r := range requestsOfAStart {
		if r.key == kmsg.ApiVersions {
			continue // one in each part is enough here; on the embedded broker all of them are tried
		}
		t.Run(r.part, func(t *testing.T) {
			w := &writeWatcher{at: r.key, do: func() { b.Kill(t) }}
			p := newProducer(t, b.Broker, Config{Topic: topic, CheckWritePermission: true, Dial: w.dial})
			err := p.Start(bg)
			var failed *fsm.StartError
			if !errors.As(err, &failed) || failed.Part != r.part || failed.Rollback != nil {
				t.Errorf("Start: %v, want a StartError of part %s", err, r.part)
			}
			nothingLeft(t, b.Broker, p)
			b.Restart(t)
			startsAndWrites(t, b.Broker, p)
		})
	}
}

// writeWatcher is the dialing of connections that do something just before the first request with
// a key is written on any of them.
type writeWatcher struct {
	at   kmsg.Key
	do   func()
	once sync.Once
}

type watchedConn struct {
	net.Conn
	w *writeWatcher
}

func (w *writeWatcher) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &watchedConn{c, w}, nil
}

func (c *watchedConn) Write(b []byte) (int, error) {
	if kmsg.Key(binary.BigEndian.Uint16(b[4:])) == c.w.at { // after its size
		c.w.once.Do(c.w.do)
	}
	return c.Conn.Write(b)
}

// A topic that does not exist, and then does.
func unknownTopicThenCreated(t *testing.T, b *testbroker.OwnBroker) {
	topic := testbroker.TopicName()
	p := newProducer(t, b.Broker, Config{Topic: topic})
	failsThenStarts(t, b.Broker, p, "metadata", func() { b.CreateTopicNamed(t, topic, 2) }, kafka.UnknownTopicOrPartition)
}

// What is larger than the broker allows is rejected, and nothing else.
func tooLargeForTheBroker(t *testing.T, b *testbroker.OwnBroker) {
	topic := b.CreateTopic(t, 1)
	p := newProducer(t, b.Broker, Config{Topic: topic, BatchBytes: 4 << 20}) // the broker's limit is 1 MiB
	start(t, p)
	l := newLedger()
	large := message(strings.Repeat("x", 2<<20))
	if err := l.write(bg, t, p, message("before")); err != nil {
		t.Error(err)
	}
	err := l.write(bg, t, p, large)
	mustBe(t, err, ErrRejected, kafka.MessageSizeTooLarge)
	if err := l.write(bg, t, p, message("after")); err != nil {
		t.Error(err)
	}
	counts := l.verify(t, b.Broker, topic)
	if counts.acked != 2 || counts.rejected != 1 {
		t.Errorf("%v", counts)
	}
	shutDown(t, b, p)
}

// A compacted topic refuses a message without a key. Only that message is rejected, although the
// broker refuses the whole batch, and the error says so.
func noKeyOnCompacted(t *testing.T, b *testbroker.OwnBroker) {
	topic := b.CreateTopic(t, 1, "cleanup.policy=compact")
	p := newProducer(t, b.Broker, Config{Topic: topic})
	start(t, p)
	l := newLedger()
	msgs := messages("m", 20)
	for i := range msgs {
		if i != 3 && i != 14 {
			msgs[i].Key = fmt.Appendf(nil, "key %d", i)
		}
	}
	each := errorsOf(t, l.write(bg, t, p, msgs...), len(msgs))
	for i, err := range each {
		switch {
		case i != 3 && i != 14 && err != nil:
			t.Errorf("message %d, with a key: %v", i, err)
		case i != 3 && i != 14:
		case classOf(t, err) != ErrRejected || !errors.Is(err, kafka.InvalidRecord) || Temporary(err):
			t.Errorf("message %d, without a key: %v", i, err)
		}
	}
	if c := l.verify(t, b.Broker, topic); c.acked != 18 || c.rejected != 2 || c.duplicates != 0 {
		t.Error(c)
	}
	shutDown(t, b, p)
}
