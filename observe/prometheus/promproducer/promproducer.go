// Package promproducer has a Prometheus collector for a Kafka producer. It exports the
// lifecycle metrics of package promfsm, and metrics of the messages sent.
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

// A Source is read at each scrape: a *producer.Producer, or a wrapper.
type Source interface {
	promfsm.Source
	Totals() kafka.WriterStats
	Counters() producer.Counters
	InFlightBytes() int64
}

// A Collector is a prometheus.Collector of one producer. NewCollector makes one. Its
// methods may be called concurrently.
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
		lifecycle:     promfsm.NewCollector(name, "metadata", "producer id", "leaders", "permission", "engine"),
		messages:      desc("sent_messages_total", "Messages that were sent. A message that is sent again counts once."),
		bytes:         desc("sent_bytes_total", "Bytes of the batches that were sent, encoded and compressed. A batch that is sent again counts once."),
		errors:        desc("attempt_errors_total", "Failed attempts to send a batch, including those that another attempt followed."),
		retries:       desc("retries_total", "Attempts to send a batch after the first one."),
		requests:      desc("request_duration_seconds", "Duration of the produce requests."),
		lingered:      desc("batch_wait_duration_seconds", "Time that batches waited, from their first message to their first request."),
		throttled:     desc("throttled_seconds_total", "Total time for which brokers throttled requests."),
		batchMessages: desc("batch_messages", "Messages in a batch."),
		batchBytes:    desc("batch_bytes", "Bytes of a batch, as it was sent."),
		inFlight:      desc("in_flight_bytes", "Bytes of MaxInFlightBytes that messages without a verdict take."),

		admitted:        desc("admitted_messages_total", "Messages that were admitted to the queues. Each gets one verdict."),
		verdicts:        desc("verdicts_total", "Messages, by their verdict.", "verdict"),
		withdrawn:       desc("withdrawn_messages_total", "Messages that got their verdict because their caller left, or their DeliveryTimeout passed."),
		connections:     desc("connections", "Connections to brokers that lead partitions."),
		connects:        desc("connects_total", "Connections to such brokers that were made."),
		connectFailures: desc("connect_failures_total", "Failed attempts to make such a connection."),
		epochs:          desc("epochs_total", "Epochs that partitions began, including the first."),
		losses:          desc("cluster_losses_total", "Answers which show that the log lost acknowledged messages, or that the cluster lost its state of the producer."),
		leaderless:      desc("leaderless_partitions", "Partitions in use that have no leader."),
		waiting:         desc("waiting_calls", "Calls that wait for room in MaxInFlightBytes."),
		oldest:          desc("oldest_message_age_seconds", "Age of the oldest message without a verdict; 0 if there is none."),
	}
}

// Option returns the option for the producer's Config.Lifecycle that makes the lifecycle report
// its transitions and steps to the collector.
func (c *Collector) Option() fsm.Option { return c.lifecycle.Option() }

// Watch makes the collector read p at each scrape. Without Watch, and after Watch(nil),
// only the counters of the lifecycle's transitions and steps are present.
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

// Collect implements prometheus.Collector. It does not wait for the network.
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
