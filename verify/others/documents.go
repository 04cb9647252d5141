package others

// verb says what a library's documents do about a guarantee that its lifecycle lacks.
type verb string

const (
	promise verb = "Its documents promise it"
	forbid  verb = "Its documents forbid what leads there"
	foresee verb = "Its documents say that it is so"
)

// word is a sentence of a library's documents, and its place: a file of the module, or of the
// standard library, and the declaration that it comments. TestPlainQuotes searches for it there.
type word struct {
	verb
	quote, file, of string
}

// documents are the sentences of the documents, by library and guarantee. A guarantee that is
// missing here, and that the library lacks, is one about which its documents are silent.
var documents = map[string]map[string]word{
	"sync.Once": {
		"G5": {foresee, "if once.Do(f) is called multiple times, only the first call will invoke f", "sync/once.go", "Once.Do"},
	},
	"errgroup style": {
		"G8": {foresee, "Wait blocks until all function calls from the Go method have returned, then returns the first non-nil error (if any) from them.", "errgroup/errgroup.go", "Group.Wait"},
	},
	"CometBFT BaseService": {
		"G14": {forbid, "OnStop must never error.", "libs/service/service.go", "Service"},
		"G8":  {forbid, "The caller must ensure that Start and Stop are not called concurrently.", "libs/service/service.go", "BaseService"},
	},
	"dskit services": {
		"G5": {forbid, "Service must be in New state when this function is called.", "services/services.go", "StartAndAwaitRunning"},
		"G6": {foresee, "Notice that context passed to the service for starting is the same as context used for waiting!", "services/services.go", "StartAndAwaitRunning"},
		"G8": {foresee, "On Failed state, it returns the failure case.", "services/services.go", "StopAndAwaitTerminated"},
	},
	"suture": {
		"G3": {foresee, "When this method returns, the supervisor is guaranteed to be in a running state.", "supervisor.go", "Supervisor.ServeBackground: the supervisor, not the service"},
	},
	"uber/fx": {
		"G7": {promise, "However, all those hooks are executed, even if some fail.", "app.go", "App.Stop"},
		"G4": {promise, "If any of the start hooks return an error, Start short-circuits, calls Stop, and returns the inciting error.", "app.go", "App.Start"},
		"G6": {promise, "If any of the start hooks return an error, Start short-circuits, calls Stop, and returns the inciting error.", "app.go", "App.Start"},
	},
	"sarama Broker": {
		"G8": {foresee, "This means that any subsequent operations on the broker will block waiting for the connection to succeed or fail.", "broker.go", "Broker.Open"},
	},
	"aiokafka 0.14.0": {
		"G8": {promise, "Flush all pending data and close all connections to kafka cluster", "aiokafka/producer/producer.py", "AIOKafkaProducer.stop"},
	},
	"aiokafka PR 1143": {
		"G8": {promise, "Flush all pending data and close all connections to kafka cluster", "aiokafka/producer/producer.py", "AIOKafkaProducer.stop"},
	},
}
