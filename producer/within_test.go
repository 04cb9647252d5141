package producer

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// callbacks are the functions that a Config may have. set puts one into cfg that calls back. After
// armed, provoke makes the producer call it.
var callbacks = []struct {
	name    string
	set     func(cfg *Config, back func())
	provoke func(b *testbroker.Broker, p *Producer)
	// free: nothing waits for the function to return, so it may call every method.
	free bool
}{
	{name: "Balancer", set: func(cfg *Config, back func()) {
		cfg.Balancer = kafka.BalancerFunc(func(_ kafka.Message, partitions ...int) int { back(); return partitions[0] })
	}, provoke: write},
	{name: "Completion", set: func(cfg *Config, back func()) {
		cfg.Completion = func([]kafka.Message, error) { back() }
	}, provoke: write},
	{name: "Dial", set: func(cfg *Config, back func()) {
		dial := cfg.Dial
		cfg.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			back()
			return dial(ctx, network, address)
		}
	}, provoke: cutAll},
	{name: "TLS", set: func(cfg *Config, back func()) {
		cfg.TLS.VerifyConnection = func(tls.ConnectionState) error { back(); return nil }
	}, provoke: cutAll},
	{name: "SASL", set: func(cfg *Config, back func()) {
		cfg.SASL = PlainFrom(func(context.Context) (user, password string, err error) { back(); return "user", "right", nil })
	}, provoke: cutAll},
	{name: "Retry", set: func(cfg *Config, back func()) {
		cfg.Retry = backoffFunc(func(int, error) (time.Duration, bool) { back(); return 0, false })
	}, provoke: failToStart},
	{name: "Breaker", set: func(cfg *Config, back func()) {
		cfg.Breaker = breakerFunc(func() (func(fsm.Outcome, error), error) { back(); return nil, nil })
	}, provoke: failToStart},
	{name: "BreakerDone", set: func(cfg *Config, back func()) {
		cfg.Breaker = breakerFunc(func() (func(fsm.Outcome, error), error) { return func(fsm.Outcome, error) { back() }, nil })
	}, provoke: failToStart},
	{name: "Logger", set: func(cfg *Config, back func()) {
		cfg.Logger = slog.New(handlerFunc(back))
	}, provoke: func(b *testbroker.Broker, p *Producer) { p.warnings.topic("a warning", "", -1, nil) }, free: true},
	{name: "Observer", set: func(cfg *Config, back func()) {
		cfg.Lifecycle = append(cfg.Lifecycle, fsm.WithObserver(func(fsm.Transition) { back() }))
	}, provoke: failToStart, free: true},
}

type backoffFunc func(int, error) (time.Duration, bool)

func (f backoffFunc) Next(try int, err error) (time.Duration, bool) { return f(try, err) }

type breakerFunc func() (func(fsm.Outcome, error), error)

func (f breakerFunc) Allow() (func(fsm.Outcome, error), error) { return f() }

type handlerFunc func()

func (f handlerFunc) Enabled(context.Context, slog.Level) bool  { return true }
func (f handlerFunc) Handle(context.Context, slog.Record) error { f(); return nil }
func (f handlerFunc) WithAttrs([]slog.Attr) slog.Handler        { return f }
func (f handlerFunc) WithGroup(string) slog.Handler             { return f }
func write(_ *testbroker.Broker, p *Producer)                   { p.WriteMessages(bg, message("outside")) }
func cutAll(b *testbroker.Broker, _ *Producer)                  { b.Net.Cut() }
func failToStart(b *testbroker.Broker, p *Producer) {
	p.Stop(bg)
	b.Net.Kill(0)
	p.Start(bg)
	b.Net.Revive(0)
}

// methods are those of a Producer that may wait.
var methods = []struct {
	name string
	call func(ctx context.Context, p *Producer) error
	// refused: it would wait for the function that calls it.
	refused bool
	// within is how long it may take, however long its context lasts.
	within time.Duration
}{
	{"Start", func(ctx context.Context, p *Producer) error {
		if p.State() == fsm.Started {
			return fsm.ErrReentrant // it would return nil
		}
		return p.Start(ctx)
	}, true, 0},
	{"Hold", func(ctx context.Context, p *Producer) error {
		_, release, err := p.Hold(ctx)
		if err == nil {
			err = release(ctx) // the last release is a Stop
		}
		return err
	}, true, 0},
	{"Stop", func(ctx context.Context, p *Producer) error { return p.Stop(ctx) }, true, 0},
	{"Shutdown", func(ctx context.Context, p *Producer) error { return p.Shutdown(ctx) }, true, 0},
	{"Close", func(_ context.Context, p *Producer) error { return p.Close() }, true, 0},
	{"Flush", func(ctx context.Context, p *Producer) error { return p.Flush(ctx) }, true, 0},
	{"WriteMessages", func(ctx context.Context, p *Producer) error { return p.WriteMessages(ctx, message("within")) }, false, 30 * time.Second},
	{"Send", func(ctx context.Context, p *Producer) error {
		d, err := p.Send(ctx, message("within"))
		if err == nil {
			err = d.Wait(ctx)
		}
		return err
	}, false, 30 * time.Second},
	{"Ping", func(ctx context.Context, p *Producer) error { return p.Ping(ctx) }, false, 10 * time.Second},
	{"WhatDoesNotWait", func(_ context.Context, p *Producer) error {
		_, _, _, _, _, _, _, _ = p.State(), p.Status(), p.Stats(), p.Totals(), p.Counters(), p.InFlightBytes(), p.String(), p.Done()
		return nil
	}, false, 0},
}

// G15: each method that each function of Config calls ends by itself. One that would wait for the function is
// refused at once. The producer works afterwards.
func TestG15EveryFunctionCallsEveryMethod(t *testing.T) {
	for _, f := range callbacks {
		for _, m := range methods {
			t.Run(f.name+"/"+m.name, func(t *testing.T) {
				server, roots := testbroker.Certificate(t)
				synctest.Test(t, func(t *testing.T) {
					opts := []kfake.Opt{kfake.SeedTopics(1, "t"), kfake.EnableSASL(), kfake.Superuser("PLAIN", "user", "right")}
					if f.name == "TLS" {
						opts = append(opts, kfake.TLS(server))
					}
					b := testbroker.Virtual(t, opts...)
					b.Options = franzPassword
					cfg := Config{Topic: "t", Dial: b.Dial, SASL: rightPassword, AllowPlaintextPassword: true, Logger: slog.New(slog.DiscardHandler)}
					if f.name == "TLS" {
						cfg.TLS = &tls.Config{RootCAs: roots}
						b.Options = append(b.Options, kgo.DialTLSConfig(cfg.TLS))
					}
					var p *Producer
					armed := make(chan bool, 1)
					called := make(chan error, 1)
					back := func() {
						select {
						case <-armed:
						default:
							return
						}
						const patience = 10 * time.Minute
						ctx, cancel := context.WithTimeout(bg, patience)
						defer cancel()
						began := time.Now()
						err := m.call(ctx, p)
						if took := time.Since(began); took > m.within && !f.free || took > time.Minute {
							t.Errorf("it took %v: %v", took, err)
						}
						called <- err
					}
					f.set(&cfg, back)
					p = newProducer(t, b, cfg)
					start(t, p)
					time.Sleep(time.Second)
					armed <- true
					f.provoke(b, p)
					err := <-called
					if refused := errors.Is(err, fsm.ErrReentrant); m.refused && !f.free && !refused {
						t.Errorf("got %v, want ErrReentrant", err)
					}
					if m.name != "Shutdown" && m.name != "Close" || !f.free {
						start(t, p)
						if err := p.WriteMessages(bg, message("afterwards")); err != nil {
							t.Error(err)
						}
					}
				})
			})
		}
	}
}

// A function of Config other than Balancer may send, whether or not there is a Balancer.
func TestSendInCompletionWithABalancer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t, kfake.SeedTopics(1, "t"))
		var p *Producer
		sent := make(chan error, 2)
		p = newProducer(t, b, Config{
			Topic:    "t",
			Balancer: kafka.BalancerFunc(func(_ kafka.Message, partitions ...int) int { return partitions[0] }),
			Completion: func(msgs []kafka.Message, _ error) {
				if string(msgs[0].Value) != "first" {
					return
				}
				_, err := p.Send(bg, message("second"))
				sent <- err
				sent <- p.Flush(bg) // the mark of Completion is still there
			},
		})
		start(t, p)
		if err := p.WriteMessages(bg, message("first")); err != nil {
			t.Error(err)
		}
		if err := <-sent; err != nil {
			t.Errorf("Send: %v", err)
		}
		if err := <-sent; !errors.Is(err, fsm.ErrReentrant) {
			t.Errorf("Flush: %v, want ErrReentrant", err)
		}
	})
}
