package producer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// The names of the brokers get other addresses while the producer runs, or none for a while, as when machines are replaced.
// Each connect asks for them anew.
func TestNamesChange(t *testing.T) {
	// Package net makes a channel at its first look-up: outside the bubble.
	_, _ = new(testbroker.Names).Resolver().LookupHost(bg, "kafka.test")
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.VirtualCluster(t, 3)
		topic := b.CreateTopic(t, 6)
		names := new(testbroker.Names)
		resolver := names.Resolver()
		var at sync.Map // the nodes, by the addresses of names; nothing answers at others
		p := newProducer(t, b, Config{Topic: topic, Brokers: []string{"kafka.test:9092"}, Logger: slog.New(slog.DiscardHandler),
			Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
				host, _, _ := net.SplitHostPort(address)
				if i := slices.Index(b.Addrs, address); i >= 0 {
					host = fmt.Sprintf("broker-%d.test", i)
				}
				ips, err := resolver.LookupHost(ctx, host)
				if err != nil {
					return nil, err
				}
				for i, ip := range ips { // as net.Dialer
					if node, there := at.Load(ip); there {
						return b.Dial(ctx, network, node.(string))
					}
					deadline, _ := ctx.Deadline()
					select {
					case <-time.After(time.Until(deadline) / time.Duration(len(ips)-i)):
					case <-ctx.Done():
					}
				}
				return nil, context.DeadlineExceeded
			}})
		var dns *net.DNSError
		if err := p.Start(bg); !errors.As(err, &dns) || dns.Name != "kafka.test" {
			t.Errorf("Start: %v; want that there is no such name", err)
		}
		place := func(node int, ip string) {
			at.Store(ip, b.Addrs[node])
			names.Set(fmt.Sprintf("broker-%d.test", node), ip)
		}
		for i := range b.Addrs {
			place(i, fmt.Sprintf("10.0.0.%d", i))
		}
		names.Set("kafka.test", "10.9.9.9", "10.0.0.0") // the first is dead
		began := time.Now()
		start(t, p)
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("a start by a name with a dead address took %v", took)
		}
		names.Set("kafka.test")

		l := newLedger()
		under := l.load(t, p, 6, 50*time.Millisecond)
		longest := func(what string, most time.Duration) {
			t.Helper()
			time.Sleep(15 * time.Second)
			if took := l.reset(); took > most {
				t.Errorf("%s: a write took %v", what, took)
			}
		}
		time.Sleep(time.Second)
		for i := range b.Addrs { // nothing answers at the old address
			at.Delete(fmt.Sprintf("10.0.0.%d", i))
			b.Net.Cut()
			time.Sleep(time.Second)
			place(i, fmt.Sprintf("10.0.1.%d", i))
			longest(fmt.Sprintf("node %d has another address", i), 6*time.Second) // the DialTimeout
		}
		names.Set("broker-1.test")
		b.Net.Cut()
		time.Sleep(3 * time.Second)
		place(1, "10.0.1.1")
		longest("a name was gone for 3 s", 4500*time.Millisecond)
		under.end()

		time.Sleep(time.Hour)
		for i := range b.Addrs {
			at.Delete(fmt.Sprintf("10.0.1.%d", i))
			place(i, fmt.Sprintf("10.0.2.%d", i))
		}
		b.Net.Cut()
		time.Sleep(time.Second)
		if err := p.Ping(bg); err != nil {
			t.Error(err)
		}
		if err := p.Stop(bg); err != nil {
			t.Error(err)
		}
		if c := l.verify(t, b, topic); c.failed() > 0 || c.acked < 500 {
			t.Errorf("%v; one failed as: %v", c, l.failure())
		}
		nothingLeft(t, b, p)
		names.Set("kafka.test", "10.0.2.2")
		startsAndWrites(t, b, p)
	})
}
