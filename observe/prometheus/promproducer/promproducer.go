// Package promproducer has a Prometheus collector for a Kafka producer: its lifecycle,
// as package promfsm has it, and what it sends.
//
//	c := promproducer.NewCollector("orders")
//	p, err := producer.New(producer.Config{..., Lifecycle: []fsm.Option{c.Option()}})
//	...
//	c.Watch(p)
//	prometheus.MustRegister(c)
package promproducer

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/observe/prometheus/promfsm"
)

// A Source is what is asked at each scrape: a *producer.Producer, or what wraps one.
type Source interface {
	promfsm.Source
	Totals() kafka.WriterStats
	InFlightBytes() int64
}

// A Collector is a prometheus.Collector of one producer. Make it with NewCollector;
// its methods may be called concurrently.
type Collector struct {
	lifecycle *promfsm.Collector
	source    atomic.Pointer[Source]

	messages, bytes, errors, retries *prometheus.Desc
	requests, lingered, throttled    *prometheus.Desc // durations
	batchMessages, batchBytes        *prometheus.Desc
	inFlight                         *prometheus.Desc
}

// NewCollector returns a collector whose metrics have the label lifecycle=name.
func NewCollector(name string) *Collector {
	desc := func(metric, help string) *prometheus.Desc {
		return prometheus.NewDesc("surestart_producer_"+metric, help, nil, prometheus.Labels{promfsm.Label: name})
	}
	return &Collector{
		lifecycle:     promfsm.NewCollector(name),
		messages:      desc("sent_messages_total", "Messages in produce requests; one that is sent again counts again."),
		bytes:         desc("sent_bytes_total", "Bytes of keys and values in produce requests; what is sent again counts again."),
		errors:        desc("request_errors_total", "Produce requests that failed, those that are tried again included."),
		retries:       desc("retries_total", "Produce requests that sent a batch again."),
		requests:      desc("request_duration_seconds", "How long the produce requests took."),
		lingered:      desc("batch_wait_duration_seconds", "How long batches waited, from their first message to their first request."),
		throttled:     desc("throttle_duration_seconds", "How long the brokers asked to wait, one for each answer."),
		batchMessages: desc("batch_messages", "How many messages a batch had."),
		batchBytes:    desc("batch_bytes", "How many bytes a batch had."),
		inFlight:      desc("in_flight_bytes", "What the messages without a result count for, of MaxInFlightBytes."),
	}
}

// Option makes a lifecycle tell the collector what happens to it; it belongs into
// the producer's Config.Lifecycle.
func (c *Collector) Option() fsm.Option { return c.lifecycle.Option() }

// Watch makes the collector ask p at each scrape. Without it there are only the
// metrics of what happened to the lifecycle. A nil p takes it back.
func (c *Collector) Watch(p Source) {
	if p == nil {
		c.lifecycle.Watch(nil)
		c.source.Store(nil)
		return
	}
	c.lifecycle.Watch(p)
	c.source.Store(&p)
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(to chan<- *prometheus.Desc) {
	c.lifecycle.Describe(to)
	for _, d := range []*prometheus.Desc{c.messages, c.bytes, c.errors, c.retries, c.requests, c.lingered, c.throttled, c.batchMessages, c.batchBytes, c.inFlight} {
		to <- d
	}
}

// Collect implements prometheus.Collector. It blocks for no longer than Totals.
func (c *Collector) Collect(to chan<- prometheus.Metric) {
	c.lifecycle.Collect(to)
	source := c.source.Load()
	if source == nil {
		return
	}
	s := (*source).Totals()
	count := func(d *prometheus.Desc, n int64) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n))
	}
	summary := func(d *prometheus.Desc, n int64, sum float64) {
		to <- prometheus.MustNewConstSummary(d, uint64(n), sum, nil)
	}
	count(c.messages, s.Messages)
	count(c.bytes, s.Bytes)
	count(c.errors, s.Errors)
	count(c.retries, s.Retries)
	summary(c.requests, s.WriteTime.Count, s.WriteTime.Sum.Seconds())
	summary(c.lingered, s.BatchTime.Count, s.BatchTime.Sum.Seconds())
	summary(c.throttled, s.WaitTime.Count, s.WaitTime.Sum.Seconds())
	summary(c.batchMessages, s.BatchSize.Count, float64(s.BatchSize.Sum))
	summary(c.batchBytes, s.BatchBytes.Count, float64(s.BatchBytes.Sum))
	to <- prometheus.MustNewConstMetric(c.inFlight, prometheus.GaugeValue, float64((*source).InFlightBytes()))
}
