// Command aiokafka runs the scenarios of compare.py on surestart, and prints the results as JSON.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/producer"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: aiokafka HOST:PORT")
		os.Exit(2)
	}
	broker := os.Args[1]
	out := map[string]map[string]any{}
	for name, run := range map[string]func(*side) map[string]any{
		"100 concurrent starts":      concurrent,
		"a start after a failed one": afterAFailure,
		"a stop during a start":      stoppedMeanwhile,
	} {
		s := &side{broker: broker, topic: fmt.Sprintf("compare-%d-%d", os.Getpid(), len(out))}
		if name != "a start after a failed one" {
			must(s.create())
		}
		s.before = runtime.NumGoroutine()
		out[name] = run(s)
	}
	must(json.NewEncoder(os.Stdout).Encode(out))
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "aiokafka:", err)
		os.Exit(1)
	}
}

// side counts what a producer opens.
type side struct {
	broker, topic string
	before        int
	open, dialled atomic.Int32
	dialling      chan struct{} // closed at the first dial, if not nil
	once          sync.Once
}

type counted struct {
	net.Conn
	close func()
}

func (c counted) Close() error { c.close(); return c.Conn.Close() }

func (s *side) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if s.dialling != nil {
		s.once.Do(func() { close(s.dialling) })
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	s.open.Add(1)
	s.dialled.Add(1)
	return counted{conn, sync.OnceFunc(func() { s.open.Add(-1) })}, nil
}

func (s *side) producer() *producer.Producer {
	p, err := producer.New(producer.Config{Brokers: []string{s.broker}, Topic: s.topic, Dial: s.dial, StartTimeout: 5 * time.Second,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	must(err)
	return p
}

func (s *side) create() error {
	client := &kafka.Client{Addr: kafka.TCP(s.broker), Transport: &kafka.Transport{IdleTimeout: time.Millisecond}}
	_, err := client.CreateTopics(context.Background(), &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: s.topic, NumPartitions: 1, ReplicationFactor: 1}}})
	client.Transport.(*kafka.Transport).CloseIdleConnections()
	time.Sleep(200 * time.Millisecond) // its goroutines end
	return err
}

// left counts what remains after a moment.
func (s *side) left(out map[string]any) map[string]any {
	time.Sleep(200 * time.Millisecond)
	out["connections left"], out["tasks left"] = s.open.Load(), max(0, runtime.NumGoroutine()-s.before)
	return out
}

func said(err error) string {
	if err != nil {
		return "fails"
	}
	return "nil"
}

func stop(p *producer.Producer) string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := p.Stop(ctx); err != nil {
		return err.Error()
	}
	return "returns"
}

func concurrent(s *side) map[string]any {
	p := s.producer()
	var (
		all    sync.WaitGroup
		failed atomic.Int32
	)
	for range 100 {
		all.Go(func() {
			if p.Start(context.Background()) != nil {
				failed.Add(1)
			}
		})
	}
	all.Wait()
	out := map[string]any{"errors": failed.Load(), "connections": s.open.Load(), "tasks": runtime.NumGoroutine() - s.before}
	out["stop"] = stop(p)
	return s.left(out)
}

// afterAFailure starts while the topic does not exist, and again when it does.
func afterAFailure(s *side) map[string]any {
	p := s.producer()
	out := map[string]any{"first": said(p.Start(context.Background()))}
	time.Sleep(200 * time.Millisecond)
	out["connections after"], out["tasks after"] = s.open.Load(), max(0, runtime.NumGoroutine()-s.before)
	must(s.create())
	out["second"] = said(p.Start(context.Background()))
	out["connections"] = s.open.Load()
	out["stop"] = stop(p)
	return s.left(out)
}

func stoppedMeanwhile(s *side) map[string]any {
	s.dialling = make(chan struct{})
	p := s.producer()
	started := make(chan error)
	go func() { started <- p.Start(context.Background()) }()
	<-s.dialling
	out := map[string]any{"stop": stop(p)}
	out["start"] = said(<-started)
	out["stop again"] = stop(p)
	return s.left(out)
}
