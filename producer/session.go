package producer

import (
	"context"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/fsm"
)

// A session is the resource of one attempt: a Transport of its own, its
// connections, and the Writer on it. Nothing of it outlives its release.
type session struct {
	cfg       *Config
	p         *Producer
	began     time.Time
	addr      net.Addr
	dialer    *dialer
	ctx       context.Context // of everything that runs in the background
	cancel    context.CancelFunc
	transport *kafka.Transport
	topics    topics
	courier   *courier
	writer    *kafka.Writer
	lanes     sync.Map   // laneKey -> *lane
	handing   sync.Mutex // who hands messages to the Writer, or reads its figures
	queued    queueTime
	ids       ids
	calls     sync.Pool // *call; of the session, so that nothing of one is seen in another
	routes    sync.Pool // *route
	chunks    sync.Pool // *chunk
	overdue   overdue   // ends the deliveries that have no result in time

	inside  gate         // calls on their way into a lane, and batches into the Writer
	probes  gate         // pings that run
	ping    flight       // the ping that is under way
	pending atomic.Int64 // messages that have no result

	isCut         atomic.Bool
	losing        sync.Mutex // of failed messages, which leave pending and join lost at once
	lost          int64      // messages that the cut left without a good result
	lostAbandoned int64      // of them, those whose callers had left
}

func (p *Producer) newSession(ctx context.Context) *session {
	s := &session{
		cfg:   p.cfg,
		p:     p,
		began: time.Now(),
		addr:  kafka.TCP(p.cfg.Brokers...),
		dialer: &dialer{
			base:      p.cfg.Dial,
			localOnly: p.cfg.plaintextPassword(),
			timeout:   p.cfg.DialTimeout,
			tls:       p.cfg.TLS,
			named:     p.cfg.Brokers,
		},
	}
	s.inside.init()
	s.probes.init()
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	s.transport = s.newTransport(s.known())
	return s
}

// newTransport makes a Transport that knows topics, nil for all. One that has
// seen a failure remembers it for seconds; so a new one for each try.
func (s *session) newTransport(topics []string) *kafka.Transport {
	t := &kafka.Transport{
		Dial: s.dialer.dial, // TLS included
		// It tries the brokers one after the other within this time; the dialer
		// bounds each by DialTimeout.
		DialTimeout:    s.cfg.DialTimeout * time.Duration(len(s.cfg.Brokers)),
		IdleTimeout:    s.cfg.IdleTimeout,
		MetadataTopics: topics,
		ClientID:       s.cfg.ClientID,
		Context:        s.ctx,
	}
	if s.cfg.SASL != nil {
		t.SASL = bounded{s.cfg.SASL, s}
	}
	return t
}

// known is the topics whose metadata the session keeps: nil for all.
func (s *session) known() []string {
	if s.cfg.AnyTopic {
		return nil
	}
	return s.p.topics
}

func (s *session) client() *kafka.Client {
	return &kafka.Client{Addr: s.addr, Transport: s.transport, Timeout: s.cfg.ReadTimeout}
}

// openWriter makes the Writer. It neither fills batches nor retries nor waits: lanes
// do the first; the courier decides the others, because it knows what became of a
// request, and can be told to stop.
func (s *session) openWriter() {
	cfg := s.cfg
	s.courier = &courier{s: s, next: s.transport}
	s.writer = &kafka.Writer{
		Addr:            s.addr,
		Balancer:        chosen{},
		MaxAttempts:     math.MaxInt32,
		WriteBackoffMin: 1,
		WriteBackoffMax: 1,
		BatchBytes:      math.MaxInt64, // the lanes see to it
		BatchTimeout:    time.Second,   // every batch is full long before
		ReadTimeout:     cfg.ReadTimeout,
		WriteTimeout:    cfg.WriteTimeout,
		RequiredAcks:    cfg.Acks.required(),
		Async:           true, // our own calls wait: see call
		Completion:      s.completed,
		Compression:     cfg.Compression,
		Transport:       s.courier,
	}
	s.writer.Stats() // its minima begin at 0 and not at "none": the first reading sets them right
}

// cut ends every request that is under way, and with it every write: what
// kafka-go waits for fails within a millisecond.
func (s *session) cut() {
	if s.isCut.CompareAndSwap(false, true) {
		s.cancel()
		s.dialer.cut()
	}
}

// closeWriter releases the Writer. Unforced no write is in flight: a write holds
// its lease until its last message has a result, whether or not its caller waits.
func (s *session) closeWriter(ctx context.Context) error {
	if fsm.Forced(ctx) {
		s.cut()
	}
	defer context.AfterFunc(ctx, s.cut)()
	// A write that is still within kafka-go when its Writer is closed may hang it
	// for ever (its issue 1307). The tempting order, Close first, needs luck.
	s.inside.shut()
	s.lanes.Range(func(_, l any) bool { l.(*lane).shut(); return true })
	err := s.writer.Close()
	s.overdue.stop()
	s.p.stats.retire(s)
	return err
}

// closeTransport releases all that is left: connections, and the goroutines that
// kafka-go runs for them. It returns when the last has let go.
func (s *session) closeTransport(context.Context) error {
	s.cancel()
	s.transport.CloseIdleConnections()
	s.dialer.cut()
	s.probes.shut()
	s.dialer.join()
	return nil
}

// A gate counts who is inside and, once shut, lets nobody in. Unlike a WaitGroup
// it may be entered while somebody waits for it (kafka-go's issues 602, 805).
type gate struct {
	n    atomic.Int64
	idle chan struct{}
}

func (g *gate) init() { g.idle = make(chan struct{}, 1) }

func (g *gate) enter() bool {
	if g.n.Add(1) > 0 {
		return true
	}
	g.leave()
	return false
}

func (g *gate) leave() {
	if g.n.Add(-1) == math.MinInt64 {
		select {
		case g.idle <- struct{}{}:
		default:
		}
	}
}

// shut lets nobody in any more and waits until nobody is inside. Call it once.
func (g *gate) shut() {
	if g.n.Add(math.MinInt64) != math.MinInt64 {
		<-g.idle
	}
}
