// The API server's own transformation to and from etcd, object by object: the same code as in
// kube-apiserver (k8s.io/apiserver), given an EncryptionConfiguration. It is what tests hold our
// reading of stored values against, and it can still write what no supported API server writes: KMS
// v2 with a data encryption key in place of a seed (Kubernetes 1.27 and 1.28).
//
// Arguments: the configuration, the resource. Each line of stdin is a JSON object with "op" (write,
// read), "key" (the etcd key), "value" (base64) and, for write, "dek": "key" or "seed". Each line of
// stdout answers one: "value" (base64) and "stale", or "error".
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"log"
	"os"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/server/options/encryptionconfig"
	"k8s.io/apiserver/pkg/storage/value"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
)

type request struct {
	Op    string `json:"op"`
	Key   string `json:"key"`
	Value []byte `json:"value"`
	Dek   string `json:"dek"`
}

type answer struct {
	Value []byte `json:"value,omitempty"`
	Stale bool   `json:"stale,omitempty"`
	Error string `json:"error,omitempty"`
}

const providerName = "latchkey"

func main() {
	if err := utilfeature.DefaultMutableFeatureGate.Set("KMSv1=true"); err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	transformers := map[string]value.Transformer{}
	for _, dek := range []string{"seed", "key"} {
		// The choice is made when the configuration is loaded, and lasts.
		restore := encryptionconfig.SetKDFForTests(providerName, dek == "seed")
		config, err := encryptionconfig.LoadEncryptionConfig(ctx, os.Args[1], false, "transformer")
		restore()
		if err != nil {
			log.Fatal(err)
		}
		transformers[dek] = config.Transformers[schema.ParseGroupResource(os.Args[2])]
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 64<<20)
	answers := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var it request
		if err := json.Unmarshal(lines.Bytes(), &it); err != nil {
			log.Fatal(err)
		}
		if err := answers.Encode(transform(ctx, it, transformers)); err != nil {
			log.Fatal(err)
		}
	}
	if err := lines.Err(); err != nil {
		log.Fatal(err)
	}
}

func transform(ctx context.Context, it request, transformers map[string]value.Transformer) answer {
	at := value.DefaultContext(it.Key)
	if it.Op == "write" {
		dek := it.Dek
		if dek == "" {
			dek = "seed"
		}
		out, err := transformers[dek].TransformToStorage(ctx, it.Value, at)
		return answered(out, false, err)
	}
	out, stale, err := transformers["seed"].TransformFromStorage(ctx, it.Value, at)
	return answered(out, stale, err)
}

func answered(out []byte, stale bool, err error) answer {
	if err != nil {
		return answer{Error: err.Error()}
	}
	return answer{Value: out, Stale: stale}
}
