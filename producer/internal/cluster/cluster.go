// Package cluster keeps the metadata of a Kafka cluster: the addresses of its brokers, the
// topics in use and the leaders of their partitions.
//
// It has one connection, to any broker that answers. It tries the brokers of the latest
// answer first, then the addresses of the configuration, then brokers learnt earlier, some at a time.
// It therefore finds the cluster again while one of them can be reached (D9). One request for
// metadata is under way at a time, shared by all callers. It names only topics in use. A request
// for the first use of topics names only these.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/metadata"

	"github.com/seed3893aba4/surestart/producer/internal/connection"
)

// Config configures a Cluster.
type Config struct {
	// Connection is how to connect. It must not change.
	Connection *connection.Config
	// Brokers are the addresses, host:port, to learn the cluster from.
	Brokers []string
	// AutoCreate asks the brokers to create topics that do not exist.
	AutoCreate bool
	// Timeout bounds a request.
	Timeout time.Duration
	// Changed receives the topics of each answer, one call at a time, in order. It must not block.
	// It may call no method of the Cluster except Address, Use and Forget.
	Changed func([]*Topic)
	// Throttled, if not nil, is called when a broker throttles the client. It returns for how long
	// to wait.
	Throttled func(time.Duration) time.Duration
	// Asking, if not nil, is called before each request for metadata, under the same rules as
	// Changed.
	Asking func()
}

// Errors of a Cluster.
var (
	errClosed = errors.New("the connection to the cluster was closed")
	// errOtherCluster: the broker belongs to another cluster than the first one that answered.
	errOtherCluster = errors.New("the broker belongs to another cluster")
	errLacking      = errors.New("the broker's answer for metadata lacks the topic")
)

// How long things are remembered, and how often questions are asked.
const (
	maxAge        = 5 * time.Minute // of the metadata; it keeps the connection alive, too
	firstMissing  = 100 * time.Millisecond
	longMissing   = 5 * time.Second
	createdWithin = 5 * time.Second // of the first answer: for so long a topic being created is awaited
	firstPause    = 10 * time.Millisecond
	longestPause  = 500 * time.Millisecond
	calm          = time.Second     // without a question: the pauses begin again with the first
	olderEpoch    = 5 * time.Second // for which an answer with an older leader is ignored
	rememberAtAll = 256             // addresses
	manyTopics    = 1 << 10         // topics: beyond this, missing ones are forgotten
	firstLeader   = 100 * time.Millisecond
	longLeader    = time.Second // the longest pause between questions while a partition has no leader

	secondOpinion = 4 * time.Second // of trouble: then another broker is asked
	nothingAmiss  = 3 * time.Second // without a report the trouble is over; longer than a sender's pauses
)

// A Cluster may be used by any number of goroutines.
type Cluster struct {
	cfg    Config
	ctx    context.Context
	cancel context.CancelCauseFunc
	wake   chan struct{} // of capacity 1
	done   chan struct{} // closed when run has returned

	// Only run uses these.
	conn    *connection.Conn
	another bool      // the next request goes to another broker than conn's, if one can be reached
	last    time.Time // the latest question
	streak  int       // of questions without calm between them, since the last missing topic came
	amiss   time.Time // the latest question caused by a Refresh
	since   time.Time // the first such question to this broker
	muted   time.Time // until when the brokers throttle
	refused int       // how many questions in a row met a refused login
	held    time.Time // until when the next question waits after a refused login; Update does not wait
	resume  string    // the older address to continue with; empty: the latest
	losers  sync.WaitGroup

	mu      sync.Mutex
	id      string // of the cluster; empty: not known
	brokers map[int32]string
	learnt  []string // addresses, the latest last
	topics  map[string]*topic
	asks    []*ask
	next    *question // waiting to be sent; nil: none
	failed  error     // of the latest question; nil: it has its answer
}

// A question is a request for metadata.
type question struct {
	amiss bool          // Refresh asked for it
	now   bool          // a caller of Update waits for it
	done  chan struct{} // closed when it has its answer, or err
	err   error
}

// An ask is any other request.
type ask struct {
	msg  protocol.Message
	ctx  context.Context // of the caller
	done chan struct{}
	res  protocol.Message
	from string // the address of the broker that answered
	err  error
}

// Open returns a Cluster with its goroutine. It sends nothing yet. The end of ctx, or Close, ends
// the Cluster. The contexts of Dial and of the SASL mechanism carry the values of ctx.
func Open(ctx context.Context, cfg Config) *Cluster {
	c := &Cluster{
		cfg: cfg, wake: make(chan struct{}, 1), done: make(chan struct{}),
		brokers: make(map[int32]string), topics: make(map[string]*topic),
	}
	c.ctx, c.cancel = context.WithCancelCause(ctx)
	go c.run()
	return c
}

// Close ends the connection and every call that waits, with errClosed, or with the cause of the
// context if that has ended before. It waits for the goroutine, including a running Dial, whose
// context has ended. It may be called again.
func (c *Cluster) Close() {
	c.cancel(errClosed)
	<-c.done
}

// ID is the cluster's id; empty if unknown.
func (c *Cluster) ID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.id
}

// Address returns the address of a broker, from the latest answer.
func (c *Cluster) Address(broker int32) (string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a, ok := c.brokers[broker]
	return a, ok
}

// Use adds topics to those that questions name.
func (c *Cluster) Use(names ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range names {
		c.useLocked(name)
	}
}

func (c *Cluster) useLocked(name string) *topic {
	t := c.topics[name]
	now := time.Now()
	if t == nil {
		if len(c.topics) >= manyTopics {
			maps.DeleteFunc(c.topics, func(_ string, t *topic) bool {
				return t.asked && t.question == nil && !t.exists() && !t.askAgain.After(now)
			})
		}
		t = new(topic)
		c.topics[name] = t
	}
	t.wanted = now
	return t
}

// leaderless reports whether a partition of a topic in use has no leader.
func (c *Cluster) leaderless() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.topics {
		if t.Topic != nil && slices.ContainsFunc(t.Partitions, func(p Partition) bool { return p.Leader == NoLeader }) {
			return true
		}
	}
	return false
}

// Forget removes a topic from those in use.
func (c *Cluster) Forget(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.topics, name)
}

// Refresh reports trouble: metadata are asked for soon, again and again until a broker answers. If
// the reports continue for some seconds, another broker is asked, which may know more. Refresh does
// not wait.
func (c *Cluster) Refresh() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refreshLocked().amiss = true
}

func (c *Cluster) refreshLocked() *question {
	if c.next == nil {
		c.next = &question{done: make(chan struct{})}
		c.signal()
	}
	return c.next
}

func (c *Cluster) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Update asks for metadata and waits for the answer. The error says why no address led to an
// answer, or is ctx's cause.
func (c *Cluster) Update(ctx context.Context) error {
	c.mu.Lock()
	q := c.refreshLocked()
	q.now = true
	c.signal()
	c.mu.Unlock()
	return c.await(ctx, q.done, &q.err)
}

// await waits until done is closed, and returns err. If the Cluster ends first, it returns why.
func (c *Cluster) await(ctx context.Context, done <-chan struct{}, err *error) error {
	select {
	case <-done:
		return *err
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-c.done:
	}
	select {
	case <-done:
		return *err
	default:
		return context.Cause(c.ctx)
	}
}

// Topic returns the latest metadata of a topic, and marks the topic as in use. Without metadata, it
// asks for them and waits, even while no broker answers.
//
// If the topic does not exist, its Err says so; this is remembered for a moment. With
// Config.AutoCreate, Topic waits some seconds first. When ctx or the Cluster ends, the error is the
// cause and the latest obstacle.
func (c *Cluster) Topic(ctx context.Context, name string) (*Topic, error) {
	var last error
	for {
		c.mu.Lock()
		t := c.useLocked(name)
		now, wait := t.Topic, time.Until(t.askAgain)
		if now == nil || wait <= 0 && (now.Err != nil && len(now.Partitions) == 0) {
			q := t.question
			if q == nil {
				q = c.refreshLocked()
				c.signal() // the question may be waiting; see settle
			}
			c.mu.Unlock()
			err := c.await(ctx, q.done, &q.err)
			switch {
			case err == nil:
				if !c.answered(name) {
					last = errLacking
				}
			case ctx.Err() != nil: // whatever await has returned
				if last == nil {
					last = c.obstacle()
				}
				return nil, because(context.Cause(ctx), last)
			case c.ctx.Err() != nil:
				return nil, because(err, last)
			default:
				last = err
			}
			continue
		}
		comes := t.comes(c.cfg.AutoCreate)
		c.mu.Unlock()
		if now.Err == nil || len(now.Partitions) > 0 || !comes { // it exists, or did a moment ago
			return now, nil
		}
		last = now.Err
		if err := c.sleep(ctx, wait); err != nil {
			return nil, because(err, last)
		}
	}
}

// answered reports whether there was an answer for a topic.
func (c *Cluster) answered(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.topics[name]
	return t == nil || t.Topic != nil
}

// obstacle is the error of the latest question; nil if it was answered.
func (c *Cluster) obstacle() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failed
}

// sleep returns early, with the cause, when ctx or the Cluster ends.
func (c *Cluster) sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-c.ctx.Done():
		return context.Cause(c.ctx)
	}
}

// because wraps err and the error behind it.
func because(err, last error) error {
	if last == nil {
		return err
	}
	return fmt.Errorf("%w: %w", err, last)
}

// Ask sends a message to any broker, and returns the answer and the broker's address. The error
// says why no address led to an answer, or is ctx's cause. The message may be sent to several brokers.
func (c *Cluster) Ask(ctx context.Context, msg protocol.Message) (res protocol.Message, address string, err error) {
	a := &ask{msg: msg, ctx: ctx, done: make(chan struct{})}
	c.mu.Lock()
	c.asks = append(c.asks, a)
	c.mu.Unlock()
	c.signal()
	if err := c.await(ctx, a.done, &a.err); err != nil {
		return nil, "", err
	}
	return a.res, a.from, nil
}

// candidates are the addresses to try, the best first, each once. The first recent ones are those of
// the latest answer and of the configuration.
func (c *Cluster) candidates() (all []candidate, recent int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := make(map[string]bool)
	add := func(addresses []string) {
		for _, a := range addresses {
			if !seen[a] {
				seen[a] = true
				all = append(all, candidate{a, slices.Contains(c.cfg.Brokers, a)})
			}
		}
	}
	var now []string
	for _, a := range c.brokers {
		now = append(now, a)
	}
	add(shuffled(now))
	add(shuffled(c.cfg.Brokers))
	recent = len(all)
	older := slices.Clone(c.learnt)
	slices.Reverse(older)
	if i := slices.Index(older, c.resume); i >= 0 {
		older = slices.Concat(older[i:], older[:i])
	}
	add(older)
	return all, recent
}

type candidate struct {
	address string
	named   bool // in Config.Brokers
}

// news is what an answer brings.
type news struct {
	changed []*Topic // to report to Changed
	behind  bool     // the broker is
	come    bool     // a topic that was missing exists
}

// apply stores an answer.
func (c *Cluster) apply(m *metadata.Response, now time.Time) (n news, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.ClusterID != "" {
		if c.id != "" && c.id != m.ClusterID {
			return n, fmt.Errorf("%w: %q, not %q", errOtherCluster, m.ClusterID, c.id)
		}
		c.id = m.ClusterID
	}
	if len(m.Brokers) > 0 { // a broker that has just started may know of none
		c.brokers = make(map[int32]string, len(m.Brokers))
		seen := make(map[string]bool, len(m.Brokers))
		var addresses []string
		for _, b := range m.Brokers {
			a := joinHostPort(b.Host, b.Port)
			c.brokers[b.NodeID] = a
			if !seen[a] {
				seen[a] = true
				addresses = append(addresses, a)
			}
		}
		c.learnt = append(slices.DeleteFunc(c.learnt, func(a string) bool { return seen[a] }), addresses...)
		c.learnt = c.learnt[max(0, len(c.learnt)-max(rememberAtAll, len(m.Brokers))):]
	}
	for i := range m.Topics {
		if t := c.topics[m.Topics[i].Name]; t != nil {
			missing := t.missing > 0
			t.apply(&m.Topics[i], c.brokers, now)
			n.changed = append(n.changed, t.Topic)
			n.behind = n.behind || !t.behindFor.IsZero()
			n.come = n.come || missing && t.missing == 0
		}
	}
	return n, nil
}
