// Package promfsm has a Prometheus collector for a lifecycle.
//
//	c := promfsm.NewCollector("database")
//	l := fsm.New(open, c.Option())
//	c.Watch(l)
//	prometheus.MustRegister(c)
//
// It is in a module of its own, so that only who imports it pays for it. What each
// metric means, and what to do, is in the repository's docs/operating.md; a dashboard
// is beside it. Of a producer package promproducer has the statistics, too.
package promfsm

import (
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/parts"
)

// Label is the label of every metric that says which lifecycle it is of.
const Label = "lifecycle"

// A Source is what is asked at each scrape: a *fsm.Lifecycle, a *producer.Producer, or
// what wraps one.
type Source interface{ Status() fsm.Status }

// A Collector is a prometheus.Collector of one lifecycle. Make it with NewCollector;
// its methods may be called concurrently.
type Collector struct {
	source atomic.Pointer[Source]

	state    *prometheus.Desc
	since    *prometheus.Desc
	inUse    *prometheus.Desc
	waiters  *prometheus.Desc
	held     *prometheus.Desc
	behind   *prometheus.Desc
	attempts *prometheus.CounterVec // by result
	failures *prometheus.CounterVec // by part
	retries  *prometheus.CounterVec // by part
	starts   prometheus.Histogram
	acquired *prometheus.HistogramVec // by part
	stops    prometheus.Histogram
	rollback prometheus.Histogram
	deaths   prometheus.Counter
	forced   prometheus.Counter
	cutOff   prometheus.Counter
	failed   *prometheus.CounterVec // releases, by part

	mu    sync.Mutex
	parts parts.Follower
	ends  prometheus.Histogram // of the release that is under way: stops or rollback
}

// NewCollector returns a collector whose metrics have the label lifecycle=name. Each
// lifecycle has one of its own, and all may be registered with one registry if
// their names differ.
func NewCollector(name string) *Collector {
	labels := prometheus.Labels{Label: name}
	desc := func(name, help string, variable ...string) *prometheus.Desc {
		return prometheus.NewDesc("surestart_lifecycle_"+name, help, variable, labels)
	}
	counter := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Name: "surestart_lifecycle_" + name, Help: help, ConstLabels: labels}
	}
	histogram := func(name, help string) prometheus.HistogramOpts {
		return prometheus.HistogramOpts{
			Name: "surestart_lifecycle_" + name, Help: help, ConstLabels: labels,
			Buckets:                        []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
			NativeHistogramBucketFactor:    1.1, // for servers that ask for them
			NativeHistogramMaxBucketNumber: 100,
		}
	}
	c := &Collector{
		state:    desc("state", "1 for the state that it is in, 0 for the others.", "state"),
		since:    desc("last_transition_timestamp_seconds", "When it came into its state."),
		inUse:    desc("in_use", "Admitted uses that have not ended."),
		waiters:  desc("waiters", "Callers of Start, Stop and Shutdown that wait."),
		held:     desc("held_parts", "Parts of the resource that are held."),
		behind:   desc("undelivered", "Transitions and steps that the observer furthest behind has yet to receive."),
		attempts: prometheus.NewCounterVec(counter("attempts_total", "Attempts to start that have ended, by the event that ended them; opened is success."), []string{"result"}),
		failures: prometheus.NewCounterVec(counter("start_failures_total", "Attempts to start that did not come up, by the part that was being acquired."), []string{"part"}),
		retries:  prometheus.NewCounterVec(counter("start_retries_total", "Tries to start that failed and were to be made again within their attempt, by the part that was being acquired."), []string{"part"}),
		starts:   prometheus.NewHistogram(histogram("start_duration_seconds", "How long the starts took that came up.")),
		acquired: prometheus.NewHistogramVec(histogram("part_duration_seconds", "How long the acquiring of a part took, whether or not it came to an end."), []string{"part"}),
		stops:    prometheus.NewHistogram(histogram("stop_duration_seconds", "How long it took to drain and release the running resource.")),
		rollback: prometheus.NewHistogram(histogram("rollback_duration_seconds", "How long it took to give back what a start that did not come up had acquired.")),
		deaths:   prometheus.NewCounter(counter("deaths_total", "Times that the running resource reported its own failure.")),
		forced:   prometheus.NewCounter(counter("forced_releases_total", "Releases that did not wait for the uses in flight.")),
		cutOff:   prometheus.NewCounter(counter("cut_off_uses_total", "Uses in flight that forced releases cut off.")),
		failed:   prometheus.NewCounterVec(counter("release_failures_total", "Releases of parts that failed."), []string{"part"}),
	}
	for _, end := range []fsm.Event{ // so that what never happened is 0, not absent
		fsm.EventOpened, fsm.EventFailed, fsm.EventAbandoned, fsm.EventTimeout, fsm.EventStop, fsm.EventShutdown, fsm.EventDied,
	} {
		c.attempts.WithLabelValues(end.String())
	}
	return c
}

// Option makes a lifecycle tell the collector what happens to it. It is for the
// one lifecycle that Watch names. It costs nothing but while that starts or stops.
func (c *Collector) Option() fsm.Option { return fsm.WithTracer((*tracer)(c)) }

// Watch makes the collector ask s at each scrape what it is doing: which state it is
// in, since when, and how many use it. Without it these metrics are absent. A nil
// s takes it back.
func (c *Collector) Watch(s Source) {
	if s == nil {
		c.source.Store(nil)
		return
	}
	c.source.Store(&s)
}

// collectors are those that hold their values themselves.
func (c *Collector) collectors() []prometheus.Collector {
	return []prometheus.Collector{c.attempts, c.failures, c.retries, c.starts, c.acquired, c.stops, c.rollback, c.deaths, c.forced, c.cutOff, c.failed}
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.state, c.since, c.inUse, c.waiters, c.held, c.behind} {
		to <- d
	}
	for _, m := range c.collectors() {
		m.Describe(to)
	}
}

// Collect implements prometheus.Collector. It does not block.
func (c *Collector) Collect(to chan<- prometheus.Metric) {
	for _, m := range c.collectors() {
		m.Collect(to)
	}
	source := c.source.Load()
	if source == nil {
		return
	}
	s := (*source).Status()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for state := fsm.Idle; state <= fsm.Closed; state++ {
		v := 0.0
		if state == s.State {
			v = 1
		}
		gauge(c.state, v, strings.ToLower(state.String()))
	}
	gauge(c.since, float64(s.Since.UnixNano())/1e9)
	gauge(c.inUse, float64(s.InFlight))
	gauge(c.waiters, float64(s.Waiters))
	gauge(c.held, float64(len(s.Held)))
	gauge(c.behind, float64(s.Undelivered))
}

// tracer is a Collector as the lifecycle sees it.
type tracer Collector

func (c *tracer) Step(s fsm.Step) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.observe(c.parts.Step(s))
	switch {
	case s.Kind == fsm.StepRetry:
		c.retries.WithLabelValues(s.Part).Inc()
	case s.Kind == fsm.StepForced:
		c.forced.Inc()
		c.cutOff.Add(float64(s.CutOff))
	case s.Kind == fsm.StepReleased && s.Err != nil:
		c.failed.WithLabelValues(s.Part).Inc()
	}
}

func (c *tracer) Transition(tr fsm.Transition) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.observe(c.parts.Transition(tr))
	took := tr.Took.Seconds()
	switch tr.From {
	case fsm.Starting:
		c.attempts.WithLabelValues(tr.Event.String()).Inc()
		if tr.To == fsm.Started {
			c.starts.Observe(took)
			break
		}
		c.failures.WithLabelValues(c.parts.Acquiring).Inc()
		c.ends = c.rollback
	case fsm.Started:
		c.ends = c.stops
		if tr.Event == fsm.EventDied {
			c.deaths.Inc()
		}
	case fsm.Stopping:
		if c.ends != nil { // given to a lifecycle from its beginning, it is there
			c.ends.Observe(took)
		}
	}
}

func (c *tracer) observe(a parts.Acquired, ok bool) {
	if ok {
		c.acquired.WithLabelValues(a.Part).Observe(a.Took.Seconds())
	}
}
