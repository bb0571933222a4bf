"""DAGs of the tests: one that answers, one that says what the connection may do."""

from airflow.sdk import Param, dag, task


@dag(schedule=None, params={"name": Param("nobody", type="string")})
def greeting():
    @task
    def greet(**context):
        print(f"hello {context['params']['name']}")
        return {"greeted": context["params"]["name"]}

    @task
    def refuse():
        raise ValueError("this task always fails")

    greet() >> refuse()


@dag(schedule=None)
def looking_around():
    @task
    def look():
        from kubernetes import client

        from fairlead_airflow.hooks import FairleadHook

        hook = FairleadHook()
        core = hook.core_v1_client

        def may(namespace):
            try:
                core.list_namespaced_pod(namespace)
            except client.ApiException as refused:
                return refused.status
            return 200

        works, says = hook.test_connection()
        own = hook.default_namespace()
        return {"works": works, "says": says, "own": may(own), "other": may("kube-system")}

    look()


greeting()
looking_around()
