package producer

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/internal/testbroker"
)

func TestFirst(t *testing.T) {
	testbroker.Each(t, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 3)
		p, err := New(Config{Brokers: b.Addrs, Topic: topic, Dial: b.Dial, CheckWritePermission: true})
		if err != nil {
			t.Fatal(err)
		}
		ctx := context.Background()
		t0 := time.Now()
		if err := p.Start(ctx); err != nil {
			t.Fatal(err)
		}
		t.Log("start", time.Since(t0))
		for i := range 3 {
			t0 = time.Now()
			if err := p.WriteMessages(ctx, kafka.Message{Value: fmt.Append(nil, i)}); err != nil {
				t.Fatal(err)
			}
			t.Log("write", time.Since(t0))
		}
		t.Log(p.Ping(ctx), p.Status(), b.Sockets(t))
		t0 = time.Now()
		if err := p.Stop(ctx); err != nil {
			t.Fatal(err)
		}
		t.Log("stop", time.Since(t0), p.Stats().Messages, b.Sockets(t))
		if n := len(b.Read(t, topic)); n != 3 {
			t.Fatal(n)
		}
	})
}
