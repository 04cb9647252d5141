package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sr"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/leakcheck"
	"github.com/seed3893aba4/surestart/internal/testbroker"
	"github.com/seed3893aba4/surestart/producer"
)

const id = 0x01020304 // whose bytes can be told apart

// A registry answers the requests of this program as Confluent's does.
type registry struct {
	*httptest.Server
	refuse atomic.Bool // the schema is not compatible
	asked  atomic.Int32
}

func newRegistry(t *testing.T) *registry {
	r := new(registry)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /subjects/{subject}/versions", func(w http.ResponseWriter, req *http.Request) {
		r.asked.Add(1)
		var schema sr.Schema
		if err := json.NewDecoder(req.Body).Decode(&schema); err != nil || schema.Schema != orderSchema || schema.Type != sr.TypeJSON {
			t.Errorf("registered %+v, %v", schema, err)
		}
		w.Header().Set("Content-Type", "application/vnd.schemaregistry.v1+json")
		if r.refuse.Load() {
			w.WriteHeader(http.StatusConflict)
			fmt.Fprint(w, `{"error_code":409,"message":"Schema being registered is incompatible with an earlier schema"}`)
			return
		}
		fmt.Fprintf(w, `{"id":%d}`, id)
	})
	r.Server = httptest.NewServer(mux)
	t.Cleanup(r.Close)
	return r
}

func nothingLeft(t *testing.T, b *testbroker.Broker, r string, l *fsm.Lifecycle[*sender]) {
	t.Helper()
	if held := l.Status().Held; len(held) > 0 {
		t.Errorf("held: %q", held)
	}
	leakcheck.Nothing(t, append([]string{r}, b.Addrs...), []string{"segmentio/kafka-go", "surestart/producer", "net/http.(*Transport)", "net/http.(*persistConn)"})
}

// The bytes on the topic are what any client of Confluent's reads.
func TestWireFormat(t *testing.T) {
	b, r := testbroker.Fake(t), newRegistry(t)
	topic := b.CreateTopic(t, 1)
	if err := run(t.Context(), producer.Config{Brokers: b.Addrs, Topic: topic}, r.URL); err != nil {
		t.Fatal(err)
	}
	records := b.Read(t, topic)
	if len(records) != 1 {
		t.Fatalf("%d records; want one", len(records))
	}
	value := records[0].Value
	if want := []byte("\x00\x01\x02\x03\x04" + `{"id":"42","cents":1999}`); !bytes.Equal(value, want) {
		t.Errorf("the value is %q; want %q", value, want)
	}
	var read Order // as a reader does, who knows the id only
	serde := sr.NewSerde()
	serde.Register(id, Order{}, sr.DecodeFn(json.Unmarshal))
	if err := serde.Decode(value, &read); err != nil || read != (Order{"42", 1999}) {
		t.Errorf("decoded %+v, %v", read, err)
	}
	if string(records[0].Key) != "42" {
		t.Errorf("the key is %q; want the order's id, without a header", records[0].Key)
	}
	nothingLeft(t, b, r.Listener.Addr().String(), service(producer.Config{}, ""))
}

// A registry that is away, or that refuses the schema: the producer, which was started
// already, is given back; the same lifecycle starts once it is repaired.
func TestRegistryFails(t *testing.T) {
	b, r := testbroker.Fake(t), newRegistry(t)
	topic := b.CreateTopic(t, 1)
	address := r.Listener.Addr().String()
	var failed *fsm.StartError

	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	away := service(producer.Config{Brokers: b.Addrs, Topic: topic}, "http://"+gone.Addr().String())
	if err := away.Start(t.Context()); !errors.As(err, &failed) || failed.Part != "schema" || failed.Rollback != nil {
		t.Errorf("Start: %v; want that the registry cannot be reached", err)
	}
	nothingLeft(t, b, address, away)

	r.refuse.Store(true)
	l := service(producer.Config{Brokers: b.Addrs, Topic: topic}, r.URL)
	defer l.Close()
	var refused *sr.ResponseError
	if err := l.Start(t.Context()); !errors.As(err, &failed) || failed.Part != "schema" || !errors.As(err, &refused) || refused.ErrorCode != 409 {
		t.Errorf("Start: %v; want what the registry said", err)
	}
	if err := send(t.Context(), l, Order{}); !errors.Is(err, fsm.ErrNotStarted) {
		t.Errorf("send: %v; want that nothing is sent", err)
	}
	nothingLeft(t, b, address, l)

	r.refuse.Store(false)
	if err := l.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := send(t.Context(), l, Order{ID: "1"}); err != nil {
		t.Error(err)
	}
	if n := r.asked.Load(); n != 2 { // not for each message
		t.Errorf("the registry was asked %d times; want once for each start", n)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if n := len(b.Read(t, topic)); n != 1 {
		t.Errorf("%d records; want one", n)
	}
	nothingLeft(t, b, address, l)
}

// A stop waits for the order that is being sent; a forced one cuts it off.
func TestStop(t *testing.T) {
	b, r := testbroker.Fake(t), newRegistry(t)
	topic := b.CreateTopic(t, 1)
	l := service(producer.Config{Brokers: b.Addrs, Topic: topic}, r.URL)
	defer l.Close()
	if err := l.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	hang := b.Hang(kmsg.Produce)
	sent, stopped := make(chan error, 1), make(chan error, 1)
	go func() { sent <- send(context.Background(), l, Order{ID: "1"}) }()
	leakcheck.Eventually(t, "it is being sent", func() string {
		if hang.Hits() == 0 {
			return "no"
		}
		return ""
	})
	ctx, enough := context.WithCancel(context.Background())
	go func() { stopped <- l.Stop(ctx) }()
	if _, err := l.Wait(t.Context(), fsm.Stopping); err != nil {
		t.Fatal(err)
	}
	if s := l.Status(); s.InFlight != 1 || s.Releasing != "" {
		t.Errorf("%v; want that the stop waits", s)
	}
	enough()
	var cut *fsm.StopError
	if err := <-stopped; !errors.As(err, &cut) || cut.CutOff != 1 {
		t.Errorf("Stop: %v; want one use cut off", err)
	}
	if err := <-sent; !errors.Is(err, producer.ErrMaybeDelivered) {
		t.Errorf("send: %v; want that nobody knows", err)
	}
	if _, err := l.Wait(t.Context(), fsm.Idle); err != nil {
		t.Fatal(err)
	}
	nothingLeft(t, b, r.Listener.Addr().String(), l)
}
