// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {DaoToken} from "../src/DaoToken.sol";
import {IRewards} from "../src/IRewards.sol";
import {DaoFixture} from "./DaoFixture.sol";

/// @notice A rewards contract that says of every turn what it was told.
contract LyingRewards is IRewards {
    bytes32 private _root;
    uint64 private _newest;

    function tell(bytes32 root, uint64 newest) external {
        (_root, _newest) = (root, newest);
    }

    function finalTokenRoot(uint64) external view returns (bytes32, uint64, uint256) {
        return (_root, _newest, type(uint256).max);
    }

    function finalSlashRoot(uint64) external view returns (bytes32) {
        return _root;
    }

    function fund(uint64, uint256) external {}
}

contract DaoTokenTest is DaoFixture {
    function _new(uint128 cap, uint128 founders, uint128 perTurn, uint32 halving) private returns (DaoToken) {
        return new DaoToken(
            "Words", "WRD", DaoToken.Supply(cap, founders, perTurn, halving), founder, IRewards(address(rewards))
        );
    }

    /// @dev A turn whose token tree gives ada and bob these cumulative amounts.
    function _issue(uint64 turn, uint256 adas, uint256 bobs, uint256 issued) private {
        bytes32 root = _pair(daoToken.tokenLeaf(turn, ada, adas), daoToken.tokenLeaf(turn, bob, bobs));
        _postAll(turn, 0, 0, root, 0, issued);
        _finish(turn);
    }

    function _claimAda(uint64 turn, uint256 adas, uint256 bobs) private {
        daoToken.claim(turn, ada, adas, _one(daoToken.tokenLeaf(turn, bob, bobs)));
    }

    function test_it_says_what_it_is() public view {
        vm.assertEq(daoToken.name(), "Words");
        vm.assertEq(daoToken.symbol(), "WRD");
        vm.assertEq(daoToken.cap(), CAP);
        vm.assertEq(daoToken.founders(), FOUNDERS);
        vm.assertEq(daoToken.perTurn(), PER_TURN);
        vm.assertEq(uint256(daoToken.halvingTurns()), HALVING);
        vm.assertEq(address(daoToken.rewards()), address(rewards));
        vm.assertEq(daoToken.CLOCK_MODE(), "mode=timestamp");
        vm.assertEq(uint256(daoToken.clock()), START);
    }

    function test_the_founders_amount_is_minted_at_launch_and_votes() public {
        vm.assertEq(daoToken.totalSupply(), FOUNDERS);
        vm.assertEq(daoToken.balanceOf(founder), FOUNDERS);
        vm.assertEq(daoToken.getVotes(founder), FOUNDERS);
        DaoToken none = _new(CAP, 0, PER_TURN, HALVING);
        vm.assertEq(none.totalSupply(), 0);
        vm.assertEq(none.delegates(founder), address(0));
    }

    function test_a_supply_rule_makes_sense() public {
        vm.expectRevert(abi.encodeWithSelector(DaoToken.SupplyInvalid.selector, 10, 11, 1));
        _new(10, 11, 1, 1);
        vm.expectRevert(abi.encodeWithSelector(DaoToken.SupplyInvalid.selector, 10, 1, 0));
        _new(10, 1, 1, 0);
        _new(10, 10, 1, 1);
    }

    function test_what_turns_issue_halves() public view {
        vm.assertEq(daoToken.issuable(0), 0);
        vm.assertEq(daoToken.issuable(1), PER_TURN);
        vm.assertEq(daoToken.issuable(4), PER_TURN);
        vm.assertEq(daoToken.issuable(5), PER_TURN / 2);
        vm.assertEq(daoToken.issuable(9), PER_TURN / 4);
        vm.assertEq(daoToken.schedule(9), 4 * PER_TURN + 4 * PER_TURN / 2 + PER_TURN / 4);
    }

    function test_the_schedule_is_the_sum_of_its_rule(
        uint128 cap,
        uint128 founders,
        uint128 perTurn,
        uint32 halving,
        uint8 turns
    ) public {
        founders = uint128(_within(founders, 0, cap));
        halving = uint32(_within(halving, 1, 40));
        DaoToken one = _new(cap, founders, perTurn, halving);
        uint256 sum;
        for (uint64 t = 1; t <= turns; ++t) {
            uint256 before = sum > uint256(cap) - founders ? uint256(cap) - founders : sum;
            sum += uint256(perTurn) >> ((t - 1) / halving);
            uint256 capped = sum > uint256(cap) - founders ? uint256(cap) - founders : sum;
            if (t % 16 == 0) vm.assertEq(one.issuable(t), capped - before);
        }
        vm.assertEq(one.schedule(turns), sum > uint256(cap) - founders ? uint256(cap) - founders : sum);
    }

    function test_the_cap_ends_the_issue() public {
        DaoToken one = _new(100, 40, 25, 1000);
        vm.assertEq(one.issuable(2), 25);
        vm.assertEq(one.issuable(3), 10);
        vm.assertEq(one.issuable(4), 0);
        vm.assertEq(one.schedule(4), 60);
        vm.assertEq(one.schedule(type(uint64).max), 60); // and no turn is too far to reckon
    }

    function test_an_owner_receives_what_her_contributions_earned() public {
        _issue(1, 60, 40, 100);
        vm.expectEmit(address(daoToken));
        emit DaoToken.Claimed(1, ada, 60, 60);
        vm.prank(stranger);
        _claimAda(1, 60, 40);
        vm.assertEq(daoToken.balanceOf(ada), 60);
        vm.assertEq(daoToken.balanceOf(stranger), 0);
        vm.assertEq(daoToken.totalSupply(), FOUNDERS + 60);
        vm.assertEq(daoToken.getVotes(ada), 60);
        vm.assertEq(daoToken.claimed(ada), 60);
    }

    function test_nothing_is_received_twice() public {
        _issue(1, 60, 40, 100);
        _claimAda(1, 60, 40);
        bytes32[] memory proof = _one(daoToken.tokenLeaf(1, bob, 40));
        vm.expectRevert(abi.encodeWithSelector(DaoToken.NothingToClaim.selector, ada, 60, 60));
        daoToken.claim(1, ada, 60, proof);
        _issue(2, 70, 40, 10);
        _claimAda(2, 70, 40);
        vm.assertEq(daoToken.balanceOf(ada), 70);
        daoToken.claim(1, bob, 40, _one(daoToken.tokenLeaf(1, ada, 60))); // an older root is as good
        vm.assertEq(daoToken.balanceOf(bob), 40);
    }

    function test_another_leaf_is_not_proven(address account, uint256 cumulative) public {
        vm.assume(cumulative != 0 && (account != ada || cumulative != 60));
        _issue(1, 60, 40, 100);
        bytes32[] memory proof = _one(daoToken.tokenLeaf(1, bob, 40));
        vm.expectPartialRevert(DaoToken.ProofInvalid.selector);
        daoToken.claim(1, account, cumulative, proof);
    }

    function test_a_turn_that_is_not_final_mints_nothing() public {
        bytes32 leaf = daoToken.tokenLeaf(1, ada, 60);
        _postAll(1, 0, 0, leaf, 0, 60);
        _passWindow();
        vm.expectRevert(abi.encodeWithSelector(DaoToken.TurnNotFinal.selector, 1));
        daoToken.claim(1, ada, 60, new bytes32[](0));
        rewards.finalize(1);
        vm.prank(address(timelock));
        rewards.disable(1);
        vm.expectRevert(abi.encodeWithSelector(DaoToken.TurnNotFinal.selector, 1));
        daoToken.claim(1, ada, 60, new bytes32[](0));
        vm.assertEq(daoToken.totalSupply(), FOUNDERS);
    }

    function test_a_root_that_promises_more_than_it_issues_mints_no_more() public {
        _issue(1, 101, 40, 100);
        bytes32[] memory proof = _one(daoToken.tokenLeaf(1, bob, 40));
        vm.expectRevert(abi.encodeWithSelector(DaoToken.ExceedsSupply.selector, FOUNDERS + 101, FOUNDERS + 100));
        daoToken.claim(1, ada, 101, proof);
        vm.assertEq(daoToken.claimed(ada), 0);
        daoToken.claim(1, bob, 40, _one(daoToken.tokenLeaf(1, ada, 101)));
        vm.assertEq(daoToken.totalSupply(), FOUNDERS + 40);
    }

    function test_nobody_exceeds_the_schedule_whatever_the_rewards_contract_says() public {
        LyingRewards liar = new LyingRewards();
        daoToken = new DaoToken("Words", "WRD", DaoToken.Supply(CAP, FOUNDERS, PER_TURN, HALVING), founder, liar);
        liar.tell(daoToken.tokenLeaf(2, ada, 2 * PER_TURN + 1), 2);
        vm.expectRevert(
            abi.encodeWithSelector(
                DaoToken.ExceedsSupply.selector, FOUNDERS + 2 * PER_TURN + 1, FOUNDERS + 2 * PER_TURN
            )
        );
        daoToken.claim(2, ada, 2 * PER_TURN + 1, new bytes32[](0));
        liar.tell(daoToken.tokenLeaf(2, ada, 2 * PER_TURN), 2);
        daoToken.claim(2, ada, 2 * PER_TURN, new bytes32[](0));
        uint256 rest = CAP - FOUNDERS;
        liar.tell(daoToken.tokenLeaf(type(uint64).max, ada, rest + 1), type(uint64).max);
        vm.expectPartialRevert(DaoToken.ExceedsSupply.selector);
        daoToken.claim(type(uint64).max, ada, rest + 1, new bytes32[](0));
        vm.assertEq(daoToken.totalSupply(), FOUNDERS + 2 * PER_TURN);
    }

    function _batch()
        private
        view
        returns (address[] memory accounts, uint256[] memory totals, bytes32[][] memory proofs)
    {
        (accounts, totals, proofs) = (new address[](2), new uint256[](2), new bytes32[][](2));
        (accounts[0], totals[0], proofs[0]) = (ada, 60, _one(daoToken.tokenLeaf(1, bob, 40)));
        (accounts[1], totals[1], proofs[1]) = (bob, 40, _one(daoToken.tokenLeaf(1, ada, 60)));
    }

    function test_a_batch_mints_what_is_left() public {
        _issue(1, 60, 40, 100);
        _claimAda(1, 60, 40);
        (address[] memory accounts, uint256[] memory totals, bytes32[][] memory proofs) = _batch();
        proofs[0] = new bytes32[](0); // left out, so it needs no proof
        daoToken.claimMany(1, accounts, totals, proofs);
        daoToken.claimMany(1, accounts, totals, proofs);
        vm.assertEq(daoToken.totalSupply(), FOUNDERS + 100);
        vm.assertEq(daoToken.getVotes(bob), 40);
        totals[1] = 41;
        vm.expectPartialRevert(DaoToken.ProofInvalid.selector);
        daoToken.claimMany(1, accounts, totals, proofs);
    }

    function test_the_arrays_of_a_batch_have_one_length() public {
        _issue(1, 60, 40, 100);
        (address[] memory accounts, uint256[] memory totals, bytes32[][] memory proofs) = _batch();
        vm.expectRevert(abi.encodeWithSelector(DaoToken.LengthMismatch.selector, 2, 1, 2));
        daoToken.claimMany(1, accounts, new uint256[](1), proofs);
        vm.expectRevert(abi.encodeWithSelector(DaoToken.LengthMismatch.selector, 2, 2, 3));
        daoToken.claimMany(1, accounts, totals, new bytes32[][](3));
    }

    function test_who_chose_a_delegate_keeps_it() public {
        vm.prank(ada);
        daoToken.delegate(stranger);
        _issue(1, 60, 40, 100);
        _claimAda(1, 60, 40);
        vm.assertEq(daoToken.delegates(ada), stranger);
        vm.assertEq(daoToken.getVotes(stranger), 60);
        vm.prank(ada);
        daoToken.delegate(address(0)); // she does not want to vote
        _issue(2, 70, 40, 10);
        _claimAda(2, 70, 40);
        vm.assertEq(daoToken.delegates(ada), address(0));
        vm.assertEq(daoToken.getVotes(ada), 0);
    }

    function test_votes_move_with_the_tokens() public {
        _issue(1, 60, 40, 100);
        _claimAda(1, 60, 40);
        vm.prank(ada);
        daoToken.transfer(founder, 25);
        vm.assertEq(daoToken.getVotes(ada), 35);
        vm.assertEq(daoToken.getVotes(founder), FOUNDERS + 25);
        vm.warp(block.timestamp + 1);
        vm.assertEq(daoToken.getPastTotalSupply(block.timestamp - 1), FOUNDERS + 60);
    }

    function _sign(bytes32 words) private view returns (uint8 v, bytes32 r, bytes32 s) {
        return vm.sign(ADA_KEY, keccak256(abi.encodePacked(hex"1901", daoToken.DOMAIN_SEPARATOR(), words)));
    }

    function test_permits_and_delegations_by_signature_share_their_nonces() public {
        bytes32 permit = keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        (uint8 v, bytes32 r, bytes32 s) = _sign(keccak256(abi.encode(permit, ada, bob, 7, 0, START)));
        daoToken.permit(ada, bob, 7, START, v, r, s);
        vm.assertEq(daoToken.allowance(ada, bob), 7);
        vm.assertEq(daoToken.nonces(ada), 1);
        vm.expectPartialRevert(ERC20Permit.ERC2612InvalidSigner.selector);
        daoToken.permit(ada, bob, 7, START, v, r, s);
        bytes32 delegation = keccak256("Delegation(address delegatee,uint256 nonce,uint256 expiry)");
        (v, r, s) = _sign(keccak256(abi.encode(delegation, bob, 1, START)));
        daoToken.delegateBySig(bob, 1, START, v, r, s);
        vm.assertEq(daoToken.delegates(ada), bob);
        vm.assertEq(daoToken.nonces(ada), 2);
    }

    function test_a_leaf_is_good_for_one_chain_and_one_token() public {
        bytes32 leaf = daoToken.tokenLeaf(1, ada, 60);
        vm.assertFalse(_new(CAP, 0, PER_TURN, HALVING).tokenLeaf(1, ada, 60) == leaf);
        vm.assertFalse(rewards.payoutLeaf(1, ada, 60) == leaf);
        vm.chainId(1);
        vm.assertFalse(daoToken.tokenLeaf(1, ada, 60) == leaf);
    }
}
