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
	"github.com/seed3893aba4/surestart/producer"
)

// A Source is what is asked at each scrape: a *producer.Producer, or what wraps one.
type Source interface {
	promfsm.Source
	Totals() kafka.WriterStats
	Counters() producer.Counters
	InFlightBytes() int64
}

// A Collector is a prometheus.Collector of one producer. Make it with NewCollector;
// its methods may be called concurrently.
type Collector struct {
	lifecycle *promfsm.Collector
	source    atomic.Pointer[Source]

	messages, bytes, errors, retries *prometheus.Desc
	requests, lingered, throttled    *prometheus.Desc // times
	batchMessages, batchBytes        *prometheus.Desc
	inFlight                         *prometheus.Desc

	admitted, verdicts, withdrawn          *prometheus.Desc
	connections, connects, connectFailures *prometheus.Desc
	epochs, losses                         *prometheus.Desc
	leaderless, waiting, oldest            *prometheus.Desc
}

// NewCollector returns a collector whose metrics have the label lifecycle=name.
func NewCollector(name string) *Collector {
	desc := func(metric, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("surestart_producer_"+metric, help, labels, prometheus.Labels{promfsm.Label: name})
	}
	return &Collector{
		lifecycle:     promfsm.NewCollector(name),
		messages:      desc("sent_messages_total", "Messages that were sent; one that is sent again counts once."),
		bytes:         desc("sent_bytes_total", "Bytes of the batches that were sent, as they are encoded and compressed; what is sent again counts once."),
		errors:        desc("attempt_errors_total", "Attempts to send a batch that failed, those that were followed by another included."),
		retries:       desc("retries_total", "Attempts to send a batch after its first."),
		requests:      desc("request_duration_seconds", "How long the produce requests took."),
		lingered:      desc("batch_wait_duration_seconds", "How long batches waited, from their first message to their first request."),
		throttled:     desc("throttled_seconds_total", "For how long brokers wanted no request."),
		batchMessages: desc("batch_messages", "How many messages a batch had."),
		batchBytes:    desc("batch_bytes", "How many bytes a batch had, as it was sent."),
		inFlight:      desc("in_flight_bytes", "What the messages without a verdict count for, of MaxInFlightBytes."),

		admitted:        desc("admitted_messages_total", "Messages that calls took into the queues. Each of them gets one verdict."),
		verdicts:        desc("verdicts_total", "Messages, by their verdict.", "verdict"),
		withdrawn:       desc("withdrawn_messages_total", "Messages that got their verdict because their caller left, or their DeliveryTimeout passed."),
		connections:     desc("connections", "Connections to brokers that lead partitions."),
		connects:        desc("connects_total", "Such connections that were made."),
		connectFailures: desc("connect_failures_total", "Attempts to make one that failed."),
		epochs:          desc("epochs_total", "Epochs that partitions began, the first included."),
		losses:          desc("cluster_losses_total", "Answers that say that the log has lost acknowledged messages, or the cluster what it knew of the producer."),
		leaderless:      desc("leaderless_partitions", "Partitions in use that have no leader."),
		waiting:         desc("waiting_calls", "Calls that wait for room among the MaxInFlightBytes."),
		oldest:          desc("oldest_message_age_seconds", "Age of the oldest message without a verdict; 0: there is none."),
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
	for _, d := range []*prometheus.Desc{
		c.messages, c.bytes, c.errors, c.retries, c.requests, c.lingered, c.throttled, c.batchMessages, c.batchBytes, c.inFlight,
		c.admitted, c.verdicts, c.withdrawn, c.connections, c.connects, c.connectFailures, c.epochs, c.losses, c.leaderless, c.waiting, c.oldest,
	} {
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
	count := func(d *prometheus.Desc, n int64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	gauge := func(d *prometheus.Desc, v float64) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
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
	summary(c.batchMessages, s.BatchSize.Count, float64(s.BatchSize.Sum))
	summary(c.batchBytes, s.BatchBytes.Count, float64(s.BatchBytes.Sum))
	gauge(c.inFlight, float64((*source).InFlightBytes()))

	n := (*source).Counters()
	to <- prometheus.MustNewConstMetric(c.throttled, prometheus.CounterValue, n.Throttled.Seconds())
	count(c.admitted, n.Admitted)
	count(c.verdicts, n.Delivered, "delivered")
	count(c.verdicts, n.NotSent, "not_sent")
	count(c.verdicts, n.Maybe, "maybe_delivered")
	count(c.verdicts, n.Rejected, "rejected")
	count(c.withdrawn, n.Withdrawn)
	gauge(c.connections, float64(n.Connections))
	count(c.connects, n.Connects)
	count(c.connectFailures, n.ConnectFailures)
	count(c.epochs, n.Epochs)
	count(c.losses, n.LostByCluster)
	gauge(c.leaderless, float64(n.Leaderless))
	gauge(c.waiting, float64(n.Waiting))
	gauge(c.oldest, n.Oldest.Seconds())
}
