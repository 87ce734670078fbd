// Command kube is the control plane of Kubernetes as one program, for tests on one machine.
//
// The first argument names the server that it is: etcd, kube-apiserver, kube-controller-manager or kube-scheduler, each
// with the flags that are documented for it. One program is linked and kept once instead of four times.
//
// Two words are its own: "key FILE" writes a private key for the tokens of service accounts, "version" prints what is
// inside.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	"go.etcd.io/etcd/api/v3/version"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kube "k8s.io/component-base/version"
	api "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

var errUsage = errors.New("usage: kube etcd|kube-apiserver|kube-controller-manager|kube-scheduler [flags], kube key FILE, kube version")

func main() {
	// The servers look for their flags behind their own name.
	os.Args = os.Args[1:]
	if len(os.Args) == 0 {
		end(errUsage)
	}
	switch os.Args[0] {
	case "etcd":
		etcdmain.Main(os.Args)
	case "kube-apiserver":
		os.Exit(cli.Run(api.NewAPIServerCommand()))
	case "kube-controller-manager":
		os.Exit(cli.Run(controllers.NewControllerManagerCommand()))
	case "kube-scheduler":
		os.Exit(cli.Run(scheduler.NewSchedulerCommand()))
	case "key":
		end(writeKey(os.Args[1:]))
	case "version":
		fmt.Printf("kubernetes %s, etcd %s\n", kube.Get().GitVersion, version.Version)
	default:
		end(errUsage)
	}
}

func writeKey(arguments []string) error {
	if len(arguments) != 1 {
		return errUsage
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		return err
	}
	block := pem.Block{Type: "EC PRIVATE KEY", Bytes: der}
	return os.WriteFile(arguments[0], pem.EncodeToMemory(&block), 0o600)
}

func end(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
