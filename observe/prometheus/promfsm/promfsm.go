// Package promfsm has a Prometheus collector for a lifecycle.
//
//	c := promfsm.NewCollector("database")
//	l := fsm.New(open, c.Option())
//	c.Watch(l)
//	prometheus.MustRegister(c)
//
// The package is in a module of its own, so only its importers depend on Prometheus. The
// repository's docs/figures/metrics.md describes each metric; docs/grafana.json is a
// dashboard. For a producer use package promproducer, which includes these metrics.
package promfsm

import (
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/parts"
)

// Label is the label of every metric that has the name of the lifecycle.
const Label = "lifecycle"

// A Source is read at each scrape: a *fsm.Lifecycle, a *producer.Producer, or a wrapper.
type Source interface{ Status() fsm.Status }

// A Collector is a prometheus.Collector of one lifecycle. NewCollector makes one. Its
// methods may be called concurrently.
type Collector struct {
	source atomic.Pointer[Source]

	state    *prometheus.Desc
	since    *prometheus.Desc
	inUse    *prometheus.Desc
	waiters  *prometheus.Desc
	held     *prometheus.Desc
	behind   *prometheus.Desc
	due      *prometheus.Desc
	down     *prometheus.Desc
	attempts *prometheus.CounterVec // by result
	failures *prometheus.CounterVec // by part
	retries  *prometheus.CounterVec // by part
	starts   prometheus.Histogram
	acquired *prometheus.HistogramVec // by part
	stops    prometheus.Histogram
	rollback prometheus.Histogram
	deaths   prometheus.Counter
	gaveUp   prometheus.Counter
	forced   prometheus.Counter
	cutOff   prometheus.Counter
	failed   *prometheus.CounterVec // releases, by part

	mu    sync.Mutex
	parts parts.Follower
	ends  prometheus.Histogram // of the running release: stops or rollback
}

// NewCollector returns a collector whose metrics have the label lifecycle=name. Each
// lifecycle needs its own. Collectors with different names may be registered with one
// registry.
//
// Every counter starts at 0, so that an alert notices its first increase. A counter with the
// label part starts at 0 for the parts that are passed here, by the names that open gives to
// Scope.Part and Scope.Defer. For any other part it is absent until open first names the part.
func NewCollector(name string, parts ...string) *Collector {
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
			NativeHistogramBucketFactor:    1.1, // for servers that scrape native histograms
			NativeHistogramMaxBucketNumber: 100,
		}
	}
	c := &Collector{
		state:    desc("state", "1 for the present state, 0 for the others.", "state"),
		since:    desc("last_transition_timestamp_seconds", "Time of the last transition."),
		inUse:    desc("in_use", "Admitted uses that have not ended."),
		waiters:  desc("waiters", "Callers of Start, Stop and Shutdown that wait."),
		held:     desc("held_parts", "Parts of the resource that are held."),
		due:      desc("restart_due", "1 while a restart of the resource is scheduled."),
		down:     desc("down", "1 while the resource is not open because it died or its start failed, and nothing is going to start it."),
		behind:   desc("undelivered", "Transitions and steps that are pending for the observer that is furthest behind."),
		attempts: prometheus.NewCounterVec(counter("attempts_total", "Attempts to start that have ended, by the event that ended them; opened is success."), []string{"result"}),
		failures: prometheus.NewCounterVec(counter("start_failures_total", "Attempts to start that failed or were cancelled, by the part that was being acquired."), []string{"part"}),
		retries:  prometheus.NewCounterVec(counter("start_retries_total", "Failed tries that another try of the same attempt follows, by the part that was being acquired."), []string{"part"}),
		starts:   prometheus.NewHistogram(histogram("start_duration_seconds", "Duration of the starts that opened the resource.")),
		acquired: prometheus.NewHistogramVec(histogram("part_duration_seconds", "Duration of the acquiring of a part, successful or not."), []string{"part"}),
		stops:    prometheus.NewHistogram(histogram("stop_duration_seconds", "Duration of the drain and the release of an open resource.")),
		rollback: prometheus.NewHistogram(histogram("rollback_duration_seconds", "Duration of the rollback of a failed or cancelled start.")),
		deaths:   prometheus.NewCounter(counter("deaths_total", "Deaths of an open resource: failures that were reported.")),
		gaveUp:   prometheus.NewCounter(counter("restarts_given_up_total", "Times that the backoff of the restarts gave up: the resource stays down until a Start.")),
		forced:   prometheus.NewCounter(counter("forced_releases_total", "Releases that did not wait for the uses in flight.")),
		cutOff:   prometheus.NewCounter(counter("cut_off_uses_total", "Uses in flight that forced releases cut off.")),
		failed:   prometheus.NewCounterVec(counter("release_failures_total", "Releases of parts that failed."), []string{"part"}),
	}
	for _, end := range []fsm.Event{ // events that never happened are 0, not absent
		fsm.EventOpened, fsm.EventFailed, fsm.EventAbandoned, fsm.EventTimeout, fsm.EventStop, fsm.EventShutdown, fsm.EventDied,
	} {
		c.attempts.WithLabelValues(end.String())
	}
	c.failures.WithLabelValues("") // open named no part
	c.retries.WithLabelValues("")
	for _, part := range parts {
		c.know(part)
	}
	return c
}

// know starts the counters of a part at 0.
func (c *Collector) know(part string) {
	part = parts.Label(part)
	c.failures.WithLabelValues(part)
	c.retries.WithLabelValues(part)
	c.failed.WithLabelValues(part)
}

// Option returns the option that makes a lifecycle report its transitions and steps to the
// collector. Use it for one lifecycle, the one that Watch gets. It costs nothing except during
// starts and stops.
func (c *Collector) Option() fsm.Option { return fsm.WithTracer((*tracer)(c)) }

// Watch makes the collector read the Status of s at each scrape: its state and since when, its
// uses, waiters and parts, and whether a restart is due. Without Watch, and after Watch(nil),
// these metrics are absent.
func (c *Collector) Watch(s Source) {
	if s == nil {
		c.source.Store(nil)
		return
	}
	c.source.Store(&s)
}

// collectors returns the metrics that hold their values themselves.
func (c *Collector) collectors() []prometheus.Collector {
	return []prometheus.Collector{c.attempts, c.failures, c.retries, c.starts, c.acquired, c.stops, c.rollback, c.deaths, c.gaveUp, c.forced, c.cutOff, c.failed}
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.state, c.since, c.inUse, c.waiters, c.held, c.behind, c.due, c.down} {
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
	due, down := parts.Down(s)
	gauge(c.due, float64(due))
	gauge(c.down, float64(down))
}

// tracer is a Collector as a fsm.Tracer.
type tracer Collector

func (c *tracer) Step(s fsm.Step) {
	s.Part = parts.Label(s.Part)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.observe(c.parts.Step(s))
	switch {
	case s.Kind == fsm.StepAcquiring, s.Kind == fsm.StepHeld:
		(*Collector)(c).know(s.Part)
	case s.Kind == fsm.StepGaveUp:
		c.gaveUp.Inc()
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
		if c.ends != nil { // nil only if the Option was not given from the first attempt on
			c.ends.Observe(took)
		}
	}
}

func (c *tracer) observe(a parts.Acquired, ok bool) {
	if ok {
		c.acquired.WithLabelValues(a.Part).Observe(a.Took.Seconds())
	}
}
