// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Multicall3} from "../src/Multicall3.sol";
import {ChannelsFixture} from "./ChannelsFixture.sol";

contract Multicall3Test is ChannelsFixture {
    Multicall3 private constant many = Multicall3(MULTICALL3);

    /// @dev One call that succeeds and one that is refused.
    function _calls() private view returns (Multicall3.Call[] memory calls) {
        calls = new Multicall3.Call[](2);
        calls[0] = Multicall3.Call(address(token), abi.encodeCall(token.balanceOf, (payer)));
        calls[1] = Multicall3.Call(address(token), abi.encodeCall(token.drip, (payer, 1)));
    }

    function _refusal() private view returns (bytes memory) {
        return abi.encodeWithSignature("NotFaucet(address,address)", MULTICALL3, address(this));
    }

    function _failed() private view returns (bytes memory) {
        return abi.encodeWithSelector(Multicall3.CallFailed.selector, 1, _refusal());
    }

    function _check(Multicall3.Result[] memory results) private view {
        vm.assertEq(results.length, 2);
        vm.assertTrue(results[0].success);
        vm.assertEq(abi.decode(results[0].returnData, (uint256)), 1_000_000e6);
        vm.assertFalse(results[1].success);
        vm.assertEq(keccak256(results[1].returnData), keccak256(_refusal()));
    }

    function test_calls_that_may_fail_say_so_and_the_others_answer() public {
        _check(many.tryAggregate(false, _calls()));
        (uint256 number, bytes32 hash, Multicall3.Result[] memory results) = many.tryBlockAndAggregate(false, _calls());
        vm.assertEq(number, block.number);
        vm.assertEq(hash, blockhash(block.number));
        _check(results);
    }

    function test_calls_that_must_not_fail_are_named() public {
        Multicall3.Call[] memory calls = _calls();
        vm.expectRevert(_failed());
        many.tryAggregate(true, calls);
        vm.expectRevert(_failed());
        many.aggregate(calls);
        vm.expectRevert(_failed());
        many.blockAndAggregate(calls);
        calls[1] = calls[0];
        (uint256 number, bytes[] memory answers) = many.aggregate(calls);
        vm.assertEq(number, block.number);
        vm.assertEq(abi.decode(answers[1], (uint256)), 1_000_000e6);
        (,, Multicall3.Result[] memory results) = many.blockAndAggregate(calls);
        vm.assertTrue(results[1].success);
    }

    function test_each_call_says_whether_it_may_fail() public {
        Multicall3.Call[] memory plain = _calls();
        Multicall3.Call3[] memory calls = new Multicall3.Call3[](2);
        calls[0] = Multicall3.Call3(plain[0].target, false, plain[0].callData);
        calls[1] = Multicall3.Call3(plain[1].target, true, plain[1].callData);
        _check(many.aggregate3(calls));
        calls[1].allowFailure = false;
        vm.expectRevert(_failed());
        many.aggregate3(calls);
    }

    function test_values_go_where_they_were_sent_and_sum_up() public {
        Multicall3.Call3Value[] memory calls = new Multicall3.Call3Value[](3);
        calls[0] = Multicall3.Call3Value(receiver, false, 3, "");
        calls[1] = Multicall3.Call3Value(stranger, false, 4, "");
        calls[2] = Multicall3.Call3Value(address(token), true, 5, "");
        uint256[2] memory wrong = [uint256(11), 13];
        for (uint256 i = 0; i < 2; ++i) {
            vm.expectPartialRevert(i == 0 ? Multicall3.CallFailed.selector : Multicall3.ValueMismatch.selector);
            if (i == 0) calls[2].allowFailure = false;
            many.aggregate3Value{value: wrong[i]}(calls);
            calls[2].allowFailure = true;
        }
        Multicall3.Result[] memory results = many.aggregate3Value{value: 12}(calls);
        vm.assertEq(receiver.balance, 3);
        vm.assertEq(many.getEthBalance(stranger), 4);
        vm.assertFalse(results[2].success);
        vm.assertEq(MULTICALL3.balance, 5);
    }

    function test_it_tells_the_block() public view {
        vm.assertEq(many.getBlockNumber(), block.number);
        vm.assertEq(many.getCurrentBlockTimestamp(), START);
        vm.assertEq(many.getCurrentBlockGasLimit(), block.gaslimit);
        vm.assertEq(many.getCurrentBlockCoinbase(), block.coinbase);
        vm.assertEq(many.getCurrentBlockDifficulty(), block.prevrandao);
        vm.assertEq(many.getBasefee(), block.basefee);
        vm.assertEq(many.getChainId(), CHAIN);
        vm.assertEq(many.getBlockHash(block.number), blockhash(block.number));
        vm.assertEq(many.getLastBlockHash(), blockhash(block.number - 1));
        vm.assertEq(many.getEthBalance(receiver), 0);
    }
}
