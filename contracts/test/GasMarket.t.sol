// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Escrow} from "../src/Escrow.sol";
import {IPayToken} from "../src/IPayToken.sol";
import {IStake} from "../src/IStake.sol";
import {Licenses} from "../src/Licenses.sol";
import {Authorization} from "../src/Money.sol";
import {Split} from "../src/Split.sol";
import {EscrowFixture} from "./EscrowFixture.sol";

/// @notice What licenses, shares, jobs and stakes cost, each act as a transaction of its own (intrinsic gas and calldata
/// included), written to snapshots/gas.json.
contract GasMarketTest is EscrowFixture {
    uint256 private constant BATCH = 20;

    function _note(string memory act) private returns (uint256) {
        return vm.snapshotGasLastCall("gas", act);
    }

    function _offer() private view returns (Licenses.Offer memory) {
        return Licenses.Offer({
            token: IPayToken(address(token)),
            price: 100e6,
            mode: Licenses.Mode.Release,
            duration: 30 days,
            closesAt: uint64(START) + 7 days,
            scopeRoot: keccak256("scope"),
            purposeHash: keccak256("purpose"),
            codeHash: 0,
            splitKey: KEY
        });
    }

    function _share(uint256 count) private {
        Split.Share[] memory shares = new Split.Share[](count);
        for (uint256 i = 0; i < count; ++i) {
            shares[i] = Split.Share(address(uint160(0x5A4E000 + i)), 50_000);
        }
        _setShares(KEY, shares);
    }

    function test_gas_of_a_grant() public {
        Licenses.Terms memory terms = Licenses.Terms({
            grantee: stranger,
            granteeKey: keccak256("age recipient"),
            mode: Licenses.Mode.Compute,
            scopeRoot: keccak256("a million contributions"),
            purposeHash: keccak256("purpose"),
            codeHash: keccak256("code"),
            decision: keccak256("proposal"),
            salt: keccak256("salt")
        });
        vm.prank(owner);
        bytes32 id = licenses.grant(terms, uint64(START) + 30 days);
        vm.snapshotValue("gas", "grant", _note("grant, by the owner"));
        vm.prank(owner);
        licenses.revoke(id);
        _note("revoke a grant");
    }

    function test_gas_of_orders() public {
        _share(4);
        vm.prank(owner);
        licenses.approveOffer(_offer());
        _note("approveOffer");
        bytes32 key = keccak256("age recipient");
        vm.prank(buyer);
        licenses.order(_offer(), Licenses.Order(stranger, key, keccak256("first")));
        _note("order, first of a key with 4 shares");
        vm.prank(buyer);
        licenses.order(_offer(), Licenses.Order(stranger, key, keccak256("second")));
        _note("order, later of a key with 4 shares");
        Licenses.Order memory order = Licenses.Order(stranger, key, keccak256("third"));
        Authorization memory authorization =
            _authorize(BUYER_KEY, address(licenses), 100e6, licenses.orderId(_offer(), order));
        licenses.orderByAuthorization(_offer(), order, buyer, authorization);
        _note("orderByAuthorization, later of a key with 4 shares");
        split.withdraw(address(uint160(0x5A4E000)), token);
        _note("withdraw from the split");
    }

    function test_gas_of_16_shares() public {
        _share(16);
        vm.prank(buyer);
        split.pay(KEY, token, 100e6);
        _note("split, first of a key with 16 shares");
        vm.prank(buyer);
        split.pay(KEY, token, 100e6);
        _note("split, later of a key with 16 shares");
    }

    function _jobs(Escrow.Job memory like, bool manyProviders) private pure returns (Escrow.Job[] memory jobs) {
        jobs = new Escrow.Job[](BATCH);
        for (uint256 i = 0; i < BATCH; ++i) {
            Escrow.Job memory job = jobs[i];
            (job.buyer, job.token, job.amount, job.deadline) = (like.buyer, like.token, like.amount, like.deadline);
            (job.units, job.kind, job.predicate, job.splitKey) = (like.units, like.kind, like.predicate, like.splitKey);
            (job.window, job.subject) = (like.window, keccak256(abi.encode("subject", i)));
            job.provider =
                manyProviders ? address(uint160(uint256(keccak256(abi.encode("provider", i))))) : like.provider;
            job.nonce = uint256(keccak256(abi.encode("nonce", i)));
        }
    }

    function _full() private pure returns (uint96[] memory amounts) {
        amounts = new uint96[](BATCH);
        for (uint256 i = 0; i < BATCH; ++i) {
            amounts[i] = AMOUNT;
        }
    }

    /// @dev The whole life of 20 jobs, from funding to payout, each job's share of it.
    function _life(Escrow.Job[] memory jobs, bytes memory approval, string memory act) private returns (uint256 gas) {
        vm.prank(buyer);
        escrow.fund(jobs);
        gas = _note(string.concat("escrow, fund 20, ", act));
        vm.prank(stranger);
        escrow.claim(jobs, _full(), FOREVER, approval);
        gas += _note(string.concat("escrow, pay 20, ", act));
        gas /= BATCH;
        vm.snapshotValue("gas", string.concat("escrow, a job's whole life in 20, ", act), gas);
    }

    /// @dev The dearest of the usual: each job has a provider of its own who never held the token, so that each payout
    /// is a transfer that makes a balance, and a panel of two of three accepts.
    function test_gas_of_jobs_accepted_by_a_panel() public {
        Escrow.Job[] memory jobs = _jobs(_panel(), true);
        bytes memory approval = _byEvaluators(_who(0, 1), jobs, _full());
        uint256 gas = _life(jobs, approval, "panel, 20 new providers");
        vm.snapshotValue("gas", "escrow_job_batch20", gas);
    }

    function test_gas_of_jobs_of_one_provider() public {
        Escrow.Job[] memory jobs = _jobs(_panel(), false);
        _life(jobs, _byEvaluators(_who(0, 1), jobs, _full()), "panel, one provider");
    }

    function test_gas_of_jobs_accepted_by_the_buyer() public {
        Escrow.Job[] memory jobs = _jobs(_result(), true);
        _life(jobs, _byBuyer(BUYER_KEY, jobs, _full(), FOREVER), "buyer, 20 new providers");
    }

    function test_gas_of_jobs_accepted_by_stake() public {
        _stake(0, 100);
        _stake(1, 100);
        _stake(2, 100);
        Escrow.Job[] memory jobs = _jobs(_staked(600_000), true);
        _life(jobs, _byEvaluators(_who(0, 1), jobs, _full()), "stake, 20 new providers");
    }

    function test_gas_of_jobs_paid_to_shares() public {
        _share(4);
        Escrow.Job memory like = _panel();
        like.splitKey = KEY;
        Escrow.Job[] memory jobs = _jobs(like, false);
        _life(jobs, _byEvaluators(_who(0, 1), jobs, _full()), "panel, one key with 4 shares");
    }

    function test_gas_of_a_single_job() public {
        Escrow.Job memory job = _result();
        job.provider = address(0x9999);
        vm.prank(buyer);
        escrow.fund(_one(job));
        uint256 gas = _note("escrow, fund one");
        escrow.prove(job, OUTCOME);
        gas += _note("escrow, pay one by its result");
        vm.snapshotValue("gas", "escrow, a single job's whole life by its result", gas);
        job.nonce = 2;
        vm.prank(buyer);
        escrow.fund(_one(job));
        vm.warp(DEADLINE);
        escrow.settle(_one(job));
        _note("escrow, give one back");
    }

    function test_gas_of_a_sampled_job() public {
        _fund(_sampled());
        _deliver(_sampled(), 8, "");
        _note("escrow, declare a delivery");
        _sample(_sampled(), abi.encodePacked(uint32(2), uint32(7)));
        _note("escrow, name 2 units");
        bytes memory opening = _opening(2, 7);
        escrow.prove(_sampled(), opening);
        _note("escrow, open 2 units");
    }

    function test_gas_of_a_gold_job() public {
        Escrow.Job memory job = _gold();
        bytes memory test = abi.encodePacked(bytes32("salt"), uint16(45));
        for (uint32 i = 0; i < 50; ++i) {
            test = abi.encodePacked(test, i * 20, hex"07");
        }
        bytes memory answers = new bytes(1000);
        for (uint256 i = 0; i < 1000; ++i) {
            answers[i] = 0x07;
        }
        (job.predicate, job.units) = (keccak256(test), 1000);
        _fund(job);
        _deliver(job, 1000, answers);
        _note("escrow, post 1000 answers");
        escrow.prove(job, abi.encode(test, answers));
        _note("escrow, grade 1000 answers by 50 questions");
    }

    function test_gas_of_stakes() public {
        _stake(0, 100);
        _note("stake");
        bytes32 id = stakes.openRound("round", uint64(START) + 1, uint64(START) + 2, 1);
        _note("openRound");
        bytes32 commitment = stakes.commitmentOf(id, _evaluator(0), 42, "salt");
        vm.prank(_evaluator(0));
        stakes.commit(id, commitment, 0);
        _note("commit a score");
        vm.warp(START + 1);
        vm.prank(_evaluator(0));
        stakes.reveal(id, 42, "salt");
        _note("reveal a score");
        vm.warp(START + 2);
        stakes.closeRound(id, 42);
        _note("closeRound, 1 score");
        vm.prank(_evaluator(0));
        stakes.unstake(IStake.Role.Evaluator, 50);
        _note("unstake");
        vm.prank(owner);
        stakes.slash(IStake.Role.Evaluator, _evaluator(0), 20, "fault");
        _note("slash");
    }
}
